import pytest

from diva.towers import ZOO
from tests.benchmarks.report.conftest import Build
from tests.benchmarks.report.examples import AFTER, BEFORE, OTHER, against, mmvp, right_in_each


def test_published_figures_stand_beside_those_of_the_same_tower(build: Build) -> None:
    content = build(
        against(mmvp(AFTER, right_in_each(2)), mmvp(BEFORE, right_in_each(1))),
        mmvp(OTHER, right_in_each(3)),
        published=True,
    )
    measured = {row["tower"]: row["measured"] for row in content["published"]}
    # before by its source, after by its recipe; nothing says which tower the other one is
    assert [(each["tower"], each["score"]) for each in measured.pop("openai-vit-l14-224")] == [
        ("before", 25),
        ("after", 50),
    ]
    assert not any(measured.values())


def test_published_figures_are_those_of_the_zoo(build: Build) -> None:
    content = build(mmvp(BEFORE, right_in_each(1)), published=True)
    scores = {row["tower"]: row["scores"] for row in content["published"]}
    assert {name: (each["original"], each["DIVA"]) for name, each in scores.items()} == {
        name: (entry.mmvp_before, entry.mmvp_after) for name, entry in ZOO.items()
    }
    assert scores["openai-vit-l14-224"]["GenHancer"] == pytest.approx(31.9)
    assert scores["siglip-so400m14-384"]["DCR"] == pytest.approx(42.2)
    assert "DCR" not in scores["dfn-vit-h14-224"]


def test_published_figures_are_shown_only_when_asked_for(build: Build) -> None:
    assert build(mmvp(BEFORE, right_in_each(1)))["published"] == []
