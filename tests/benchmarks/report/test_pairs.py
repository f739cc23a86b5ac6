from collections.abc import Sequence

import numpy as np
import pytest

from diva.evaluation.power import least_above, smallest_difference
from diva.evaluation.statistics import macro_mean, paired_test
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


def vismin(subject: Subject, sizes: Sequence[int], right: float) -> Result:
    """Return a result of categories of these sizes, of which the first pairs are right by the group score."""
    items = [
        Item(id=f"{group}-{at}", group=str(group), outcome=at < right * size)
        for group, size in enumerate(sizes)
        for at in range(size)
    ]
    average = macro_mean([item.outcome for item in items], [item.group for item in items])
    figure = percent(100 * average, len(items), (5.0, 50.0))
    source = DataSource(name="VisMin", path="data/vismin", fingerprint="5" * 64, items=len(items))
    changes = {"part": "vismin", "data": source, "metrics": {"group score": figure}, "items": items}
    return winoground(subject, (), ()).model_copy(update=changes)


def test_categories_of_unequal_size_decide_as_much_as_fewer_equal_pairs(build: Build) -> None:
    sizes, differing = (100, 400, 1600), 0.2
    content = build(vismin(BEFORE, sizes, 0.3), vismin(AFTER, sizes, 0.4))
    limits = rows(content, "pairs", 1)
    one = limits["One pair"]["cells"][0]
    assert [each["value"] for each in (one[0], one[2])] == pytest.approx([100 / 4800, 100 / 300])
    assert "as much as 686 pairs of one weight" in text(section(content, "pairs")["blocks"])
    # a tenth of every category changed
    observed = value(limits["Least difference of after, with 210 pairs changed as observed"], 0)
    of_ten, of_twenty = (
        value(limits[f"Least difference of two towers, if {share} % of the pairs change"], 0) or 0
        for share in (10, 20)
    )
    assert observed == pytest.approx(of_ten)
    difference = of_twenty / 100
    groups = [str(group) for group, size in enumerate(sizes) for _ in range(size)]
    random, shown, rounds = np.random.default_rng(0), 0, 400
    shares = [(differing + difference) / 2, (differing - difference) / 2, 1 - differing]
    for _ in range(rounds):
        moved = random.choice([1.0, -1.0, 0.0], p=shares, size=len(groups))
        test = paired_test(moved > 0, moved < 0, groups)
        shown += test.p_value < 0.05 and macro_mean(moved, groups) > 0
    assert shown / rounds == pytest.approx(0.8, abs=0.06)


def test_the_score_above_guessing_is_told_from_it_by_four_of_five_means_of_unequal_categories(build: Build) -> None:
    sizes = (100, 400, 1600)
    content = build(vismin(BEFORE, sizes, 0.3))
    score = (value(rows(content, "pairs", 1)["Least group score above guessing"], 0) or 0) / 100
    chance, random = 1 / 6, np.random.default_rng(0)
    means = [np.mean([random.binomial(n, p, 20_000) / n for n in sizes], 0) for p in (chance, score)]
    assert np.mean(means[1] > np.quantile(means[0], 0.975)) == pytest.approx(0.8, abs=0.04)


def test_towers_that_adapt_share_no_table_and_no_summary_row_with_those_that_stay_as_they_are(build: Build) -> None:
    before, after = winoground(BEFORE, range(4), range(10)), winoground(AFTER, range(2, 8), range(4, 20))
    settings = {"protocol": "pooled", "adaptation": "ttm", "updates": 10}
    adapted = winoground(AFTER, range(30), range(30)).model_copy(update={"settings": settings})
    content = build(before, after, adapted)
    assert [value(row, 1) for row in rows(content, "pairs").values()] == [15, 40]
    apart = rows(content, "pairs-adapted")
    assert [value(row, 0) for row in apart.values()] == [75, 75]
    assert all(change(row, 0) is None for row in apart.values())  # the baseline did not adapt
    blocks = section(content, "pairs-adapted")["blocks"]
    table = next(block for block in blocks if block["kind"] == "table")
    assert [head["title"] for head in table["head"]] == ["Score", "after, adapted"]
    assert next(block["text"] for block in blocks if block["kind"] == "heading") == "Winoground: Test-Time Matching"
    assert [row["cells"][1][0]["value"] for row in content["summary"]] == [15]
