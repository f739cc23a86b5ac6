import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report.columns import short_labels


@pytest.mark.parametrize(
    ("labels", "short"),
    [
        (["/a/bases/0/clip", "/q/diva/tower", "/q/un2clip/tower"], ["0/clip", "diva/tower", "un2clip/tower"]),
        (
            ["/a/x/diva/tower", "/b/x/diva/tower", "/b/y/diva/tower"],
            ["a/x/diva/tower", "b/x/diva/tower", "y/diva/tower"],
        ),
        (["hf-hub:timm/vit", "openai-vit-l14-224 (runs/a/b.pt)", "tower"], None),
    ],
)
def test_a_path_is_cut_to_what_tells_it_from_the_others(labels: list[str], short: list[str] | None) -> None:
    assert [short_labels(labels)[label] for label in labels] == (short or labels)


@given(st.sets(st.from_regex(r"(/[ab]){2,5}", fullmatch=True), min_size=1))
def test_no_two_paths_end_up_alike(labels: set[str]) -> None:
    assert len(set(short_labels(labels).values())) == len(labels)
