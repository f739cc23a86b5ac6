import pytest

from diva.towers.zoo import PUBLISHED
from tests.benchmarks.report.conftest import Build
from tests.benchmarks.report.examples import AFTER, BEFORE, OTHER, against, mmvp, right_in_each
from tests.benchmarks.report.figures import names, rows, value


def test_published_figures_stand_beside_those_of_the_same_tower(build: Build) -> None:
    content = build(
        against(mmvp(AFTER, right_in_each(2)), mmvp(BEFORE, right_in_each(1))),
        mmvp(OTHER, right_in_each(3)),
        published=True,
    )
    measured = {name: row["cells"][-1] for name, row in rows(content, "published").items()}
    # before by its source, after by its recipe; nothing says which tower the other one is
    first, before, second, after = measured.pop("openai-vit-l14-224")
    assert (first["text"], second["text"]) == ("before (pooled)", "after (pooled)")
    assert (before["value"], after["value"]) == (25, 50)
    assert not any(measured.values())


def test_published_figures_are_those_of_the_zoo(build: Build) -> None:
    content = build(mmvp(BEFORE, right_in_each(1)), published=True)
    found = rows(content, "published")
    assert {name: (value(row, 0), value(row, 1)) for name, row in found.items()} == {
        name: (entry.mmvp_before, entry.mmvp_after) for name, entry in PUBLISHED.items()
    }
    assert value(found["openai-vit-l14-224"], 2) == pytest.approx(31.9)  # GenHancer
    assert value(found["siglip-so400m14-384"], 3) == pytest.approx(42.2)  # DCR
    assert found["dfn-vit-h14-224"]["cells"][3] == []


def test_published_figures_are_shown_only_when_asked_for(build: Build) -> None:
    assert "published" not in names(build(mmvp(BEFORE, right_in_each(1))))
