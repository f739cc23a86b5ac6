import pytest

from tests.benchmarks.report.conftest import Build
from tests.benchmarks.report.examples import AFTER, BEFORE, PATTERNS, against, compared, mmvp, right_in_each
from tests.benchmarks.report.figures import change, of_inline, of_sections, rows, section, tables

BETTER = right_in_each(1) | {"Texts": [1.0, 1.0, 0.0, 0.0], "State": [0.0, 1.0, 0.0, 1.0]}


def test_every_pattern_has_its_pairs_won_and_lost_and_no_test_of_its_own(build: Build) -> None:
    content = build(mmvp(BEFORE, right_in_each(1)), mmvp(AFTER, BETTER))
    found = rows(content, "patterns")
    assert list(found) == [*PATTERNS, "Average"]
    assert of_sections(content)["patterns"][0] == 25  # by chance
    expected = {"Texts": (25.0, 1, 0), "State": (25.0, 2, 1), "Colour": (0.0, 0, 0)}
    for name, (value, wins, losses) in expected.items():
        difference = change(found[name], 1)
        assert (difference["value"], difference["wins"], difference["losses"]) == (value, wins, losses)
        assert difference["judgement"] == "untested"
    average = change(found["Average"], 1)
    assert average["value"] == pytest.approx(50 / 9)
    assert (average["wins"], average["losses"]) == (3, 1)


def test_pairs_that_one_tower_alone_gets_right_are_listed_with_their_margins(build: Build) -> None:
    changed = rows(build(mmvp(BEFORE, right_in_each(1)), mmvp(AFTER, BETTER)), "patterns", 1)
    assert [(name, *of_inline(row["cells"][0])) for name, row in changed.items()] == [
        ("State 0", 1, 0),
        ("State 1", 0, 1),
        ("State 3", 0, 1),
        ("Texts 1", 0, 1),
    ]
    margins = changed["State 1"]["cells"][1]
    assert [each["text"].strip() for each in (margins[0], margins[5])] == [
        "a dog on the left",
        "a dog on the right",
    ]
    assert list(of_inline(margins)) == pytest.approx([0.05, 0.05, -0.01, 0.02])


def test_a_held_comparison_without_items_names_no_pairs(build: Build) -> None:
    before = mmvp(BEFORE, right_in_each(1), items=[])
    ours = mmvp(AFTER, right_in_each(2), items=[])
    content = build(against(ours, before, compared("average", 25, (10, 40), 0.001)))
    assert len(list(tables(section(content, "patterns")["blocks"]))) == 1
    assert change(rows(content, "patterns")["Orientation"], 1)["wins"] is None
