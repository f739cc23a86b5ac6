from collections.abc import Sequence

import pytest

from diva.evaluation.power import least_above, smallest_difference
from diva.results import DataSource, Item, Result, Subject
from tests.benchmarks.report.conftest import Build
from tests.benchmarks.report.examples import AFTER, BEFORE, percent, run
from tests.benchmarks.report.figures import change, number, rows, section, text, value

PAIRS = 40


def winoground(subject: Subject, group: Sequence[int], texts: Sequence[int]) -> Result:
    """Return a result of 40 pairs of which the given ones are right by the group and by the text score."""
    items = [
        Item(id=str(at), group="Object", outcome=at in group, details={"text score": float(at in texts)})
        for at in range(PAIRS)
    ]
    metrics = {
        "group score": percent(100 * len(group) / PAIRS, PAIRS, (5.0, 50.0)),
        "text score": percent(100 * len(texts) / PAIRS, PAIRS, (5.0, 50.0)),
        "category/Object": percent(100 * len(group) / PAIRS, PAIRS, (5.0, 50.0), breakdown="category"),
    }
    source = DataSource(name="Winoground", path="data/winoground", fingerprint="3" * 64, items=PAIRS)
    return Result(
        task="pairs",
        part="winoground",
        headline="group score",
        settings={"protocol": "pooled"},
        subject=subject,
        data=source,
        metrics=metrics,
        items=items,
        run=run(),
    )


def test_scores_stand_side_by_side_each_with_its_test_and_its_guessing_level(build: Build) -> None:
    before, after = winoground(BEFORE, range(4), range(10)), winoground(AFTER, range(2, 8), range(4, 20))
    content = build(before, after)
    found = rows(content, "pairs")
    assert list(found) == ["Group score", "Text score"]
    assert [row["note"] for row in found.values()] == ["guessing: 16.7 %", "guessing: 25.0 %"]
    assert [value(row, 1) for row in found.values()] == [15, 40]
    group, texts = (change(row, 1) for row in found.values())
    assert group
    assert texts
    assert (group["value"], group["wins"], group["losses"]) == (5, 4, 2)
    # of 14 pairs that changed, 10 won: twice the binomial tail of 10 or more of 14
    assert (texts["value"], texts["wins"], texts["losses"]) == (15, 10, 4)
    assert texts["p_value"] == pytest.approx(2 * (1001 + 364 + 91 + 14 + 1) / 2**14)
    assert texts["test"] == "exact McNemar"


def test_the_limits_say_what_forty_pairs_can_decide(build: Build) -> None:
    content = build(winoground(BEFORE, range(4), range(10)), winoground(AFTER, range(2, 8), range(4, 20)))
    limits = rows(content, "pairs", 1)
    assert value(limits["One pair"], 0) == 2.5
    few = "Least difference of two towers, if 10 % of the pairs change"
    assert number(limits[few], 0) is None  # four pairs change: the exact test needs six
    assert limits[few]["cells"][0][0]["text"] == "none of 40 pairs shows it"
    some = smallest_difference(40, 0.2)
    assert some
    assert value(limits["Least difference of two towers, if 20 % of the pairs change"], 0) == pytest.approx(
        100 * some
    )
    assert "Least difference of after, with 6 pairs changed as observed" in limits
    above = least_above(0.25, 40)
    assert above
    assert value(limits["Least text score above guessing"], 0) == pytest.approx(100 * above)
    assert "found by the exact test" in text(section(content, "pairs")["blocks"])


def test_a_single_tower_has_limits_but_no_differences(build: Build) -> None:
    content = build(winoground(BEFORE, range(4), range(10)))
    assert change(rows(content, "pairs")["Group score"], 0) is None
    assert not any("observed" in name for name in rows(content, "pairs", 1))
