import pytest

from tests.benchmarks.report.conftest import Build
from tests.benchmarks.report.examples import AFTER, BEFORE, PATTERNS, against, compared, mmvp, right_in_each

BETTER = right_in_each(1) | {"Texts": [1.0, 1.0, 0.0, 0.0], "State": [0.0, 1.0, 0.0, 1.0]}


def test_every_pattern_has_its_pairs_won_and_lost_and_no_test_of_its_own(build: Build) -> None:
    (found,) = build(mmvp(BEFORE, right_in_each(1)), mmvp(AFTER, BETTER))["patterns"]
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == [*PATTERNS, "Average"]
    assert found["chance"] == 25
    expected = {"Texts": (25.0, 1, 0), "State": (25.0, 2, 1), "Colour": (0.0, 0, 0)}
    for name, (value, wins, losses) in expected.items():
        difference = rows[name]["cells"][1]["difference"]
        assert (difference["value"], difference["wins"], difference["losses"]) == (value, wins, losses)
        assert difference["judgement"] == "untested"
    average = rows["Average"]["cells"][1]["difference"]
    assert average["value"] == pytest.approx(50 / 9)
    assert (average["wins"], average["losses"]) == (3, 1)


def test_pairs_that_one_tower_alone_gets_right_are_listed_with_their_margins(build: Build) -> None:
    (found,) = build(mmvp(BEFORE, right_in_each(1)), mmvp(AFTER, BETTER))["patterns"]
    (changed,) = found["changed"]
    assert [(pair["id"], pair["baseline"], pair["tower"]) for pair in changed["pairs"]] == [
        ("State 0", 1, 0),
        ("State 1", 0, 1),
        ("State 3", 0, 1),
        ("Texts 1", 0, 1),
    ]
    first, second = changed["pairs"][1]["margins"]
    assert (first["statement"], second["statement"]) == ("a dog on the left", "a dog on the right")
    assert (first["baseline"], first["tower"]) == pytest.approx((0.05, 0.05))
    assert (second["baseline"], second["tower"]) == pytest.approx((-0.01, 0.02))


def test_a_held_comparison_without_items_names_no_pairs(build: Build) -> None:
    before = mmvp(BEFORE, right_in_each(1), items=[])
    ours = mmvp(AFTER, right_in_each(2), items=[])
    (found,) = build(against(ours, before, compared("average", 25, (10, 40), 0.001)))["patterns"]
    assert found["changed"] == []
    assert found["rows"][0]["cells"][1]["difference"]["wins"] is None
