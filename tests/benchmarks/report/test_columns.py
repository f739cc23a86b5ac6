import pytest
from hypothesis import given
from hypothesis import strategies as st

from diva_benchmarks.report.columns import short_labels


@pytest.mark.parametrize(
    ("labels", "short"),
    [
        (["/a/bases/0/clip", "/q/diva/tower", "/q/un2clip/tower"], ["clip", "diva", "un2clip"]),
        (["/a/x/diva/tower", "/b/x/diva/tower", "/b/y/diva/tower"], ["a/x/diva", "b/x/diva", "y/diva"]),
        (["/q/vit-l/open_clip_model.safetensors", "/q/exported"], ["vit-l", "exported"]),
        (["/q/dfn/open_clip_pytorch_model.bin", "/q/hf/model.safetensors"], ["dfn", "hf"]),
        (["weights/CLIP_after_GenFT.pth", "weights/metaclip_l14.pt"], ["CLIP_after_GenFT.pth", "metaclip_l14.pt"]),
        (["vit-l (weights.pt)", "runs/diva/vit-l/tower"], ["vit-l (weights.pt)", "diva/vit-l"]),
        (["hf-hub:timm/vit", "openai-vit-l14-224 (runs/a/b.pt)", "tower"], None),
    ],
)
def test_a_path_is_cut_to_what_tells_it_from_the_others(labels: list[str], short: list[str] | None) -> None:
    assert [short_labels(labels)[label] for label in labels] == (short or labels)


@given(st.sets(st.from_regex(r"(/(a|tower|model[.]safetensors)){2,5}", fullmatch=True), min_size=1))
def test_no_two_paths_end_up_alike(labels: set[str]) -> None:
    assert len(set(short_labels(labels).values())) == len(labels)
