from collections.abc import Sequence
from datetime import timedelta

import pytest

from diva.results import Item, Metric, Missing, Result
from tests.benchmarks.report.conftest import Build
from tests.benchmarks.report.examples import (
    AFTER,
    BEFORE,
    against,
    compared,
    percent,
    zero_shot_set,
    zero_shot_summary,
)
from tests.benchmarks.report.figures import change, rows, section, text

MISSING = [Missing(name="pets", reason="absent"), Missing(name="cars", reason="failed")]


def summary(interval: tuple[float, float], missing: Sequence[Missing] = (), **metrics: Metric) -> Result:
    ours = zero_shot_summary(AFTER, 74, missing=list(missing))
    ours = ours.model_copy(update={"metrics": ours.metrics | metrics})
    kept = compared("average", sum(interval) / 2, interval, 0.01).model_copy(update={"margin": 1})
    return against(ours, zero_shot_summary(BEFORE, 75), kept)


@pytest.mark.parametrize(
    ("interval", "conclusion"),
    [((-0.75, -0.25), "preserved"), ((-1.5, -0.25), "undecided"), ((-2.5, -1.25), "not preserved")],
)
def test_the_mean_is_held_against_the_margin(build: Build, interval: tuple[float, float], conclusion: str) -> None:
    said = text(section(build(summary(interval)), "zero-shot")["blocks"])
    assert f"after: {conclusion}, with a margin for the loss of the mean of #." in said


def test_a_mean_over_too_little_decides_nothing(build: Build) -> None:
    one = summary((0.0, 0.0)).model_copy(
        update={"items": [Item(id="dtd", group="all", outcome=1)], "metrics": {"average": percent(100, 1)}}
    )
    one.data.items = 5
    content = build(one)
    assert "after: undecided" in text(section(content, "zero-shot")["blocks"])
    (verdict,) = content["verdicts"]
    assert verdict["sentence"].endswith(
        "Whether zero-shot ability is preserved: 1 set with 5 items cannot decide this; it takes 2 sets with 500."
    )


def test_sets_stand_in_the_order_of_their_summary_and_count_as_one(build: Build) -> None:
    sets = [
        against(zero_shot_set(AFTER, name, [1, 0, 1]), zero_shot_set(BEFORE, name, [1, 1, 1]))
        for name in ("dtd", "mnist")
    ]
    content = build(*sets, summary((-0.75, -0.25)))
    assert list(rows(content, "zero-shot")) == ["MNIST", "DTD", "Mean"]
    assert [row["name"] for row in content["summary"]] == ["Zero-shot mean"]
    difference = change(rows(content, "zero-shot")["MNIST"], 1)
    assert difference["value"] == pytest.approx(-100 / 3)
    assert (difference["wins"], difference["losses"]) == (0, 1)


def test_missing_sets_are_named(build: Build) -> None:
    said = text(section(build(summary((-0.75, -0.25), MISSING)), "zero-shot")["blocks"])
    assert "Sets whose data were not there (1): pets." in said
    assert "Sets that could not be measured (1): cars." in said


def test_the_verdict_says_what_the_mean_is_over(build: Build) -> None:
    (verdict,) = build(summary((-0.75, -0.25), MISSING))["verdicts"]
    assert verdict["sentence"].endswith("preserved to within 1 point on average over 2 sets (2 missing).")


def test_a_baseline_that_was_measured_again_by_itself_takes_no_verdict_away(build: Build) -> None:
    beside = summary((-0.75, -0.25), MISSING)
    assert beside.baseline is not None
    later = beside.baseline.run.model_copy(update={"started": beside.baseline.run.started + timedelta(hours=1)})
    alone = beside.baseline.model_copy(update={"run": later})
    content = build(beside, alone)
    assert "after: preserved" in text(section(content, "zero-shot")["blocks"])
    assert content["left_out"] == []


def test_means_that_were_measured_apart_are_not_tested_as_if_sets_had_been_drawn(build: Build) -> None:
    content = build(zero_shot_summary(BEFORE, 75), zero_shot_summary(AFTER, 74))
    difference = change(rows(content, "zero-shot")["Mean"], 1)
    assert (difference["value"], difference["interval"], difference["judgement"]) == (-1, None, "untested")


def test_means_of_classification_and_retrieval_are_shown_where_both_are_there(build: Build) -> None:
    kinds = ("classification", "retrieval")
    parts = {f"average/{kind}": percent(74, 1, breakdown="kind of set") for kind in kinds}
    content = build(summary((-0.75, -0.25), **parts))
    assert list(rows(content, "zero-shot")) == ["Mean of classification", "Mean of retrieval", "Mean"]


def test_sets_without_their_mean_are_in_the_summary_one_by_one(build: Build) -> None:
    content = build(zero_shot_set(AFTER, "dtd", [1, 0]), zero_shot_set(BEFORE, "dtd", [1, 1]))
    assert [row["name"] for row in content["summary"]] == ["DTD"]
    assert list(rows(content, "zero-shot")) == ["DTD"]
