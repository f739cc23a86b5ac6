from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diva.results import Subject
from diva_benchmarks.report.columns import Origin, columns, short_labels
from tests.benchmarks.report.examples import AFTER, against, result


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


def test_a_tower_is_described_by_the_result_that_knows_its_recipe() -> None:
    inside = AFTER.model_copy(
        update={"source": "llava/model", "recipe": None}
    )  # as a language model's result has it
    towers, _ = columns([result(inside, [1]), result(AFTER, [1]), result(inside, [1])])
    assert [(tower.source, tower.recipe) for tower in towers] == [(AFTER.source, AFTER.recipe)]


def test_towers_stand_in_the_order_of_their_steps_and_controls_come_last() -> None:
    names = ("z", "control", "elsewhere", "a", "before")
    subjects = {name: Subject(label=name, source=f"q/{name}/tower", architecture="", sha256=name) for name in names}
    subjects["elsewhere"].source = "q/a-second/tower"  # not below q/a
    before = result(subjects["before"], [1])
    results = [against(result(subjects[name], [1]), before) for name in names[:-1]] + [before]
    origins = [Origin(PurePath("q", name), name == "control") for name in ("z", "control", "a")]
    towers, _ = columns(results, origins)
    assert [(tower.label, tower.role) for tower in towers] == [
        ("before", "baseline"),
        ("z", "tower"),
        ("a", "tower"),
        ("elsewhere", "tower"),
        ("control", "control"),
    ]
