from datetime import timedelta
from typing import Any

import pytest

from diva.results import Result
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


def summary(interval: tuple[float, float], **metrics: Any) -> Result:
    ours = zero_shot_summary(AFTER, 74)
    ours = ours.model_copy(update={"metrics": ours.metrics | {"margin": percent(1, 0)} | metrics})
    return against(ours, zero_shot_summary(BEFORE, 75), compared("average", sum(interval) / 2, interval, 0.01))


@pytest.mark.parametrize(
    ("interval", "conclusion"),
    [((-0.75, -0.25), "preserved"), ((-1.5, -0.25), "undecided"), ((-2.5, -1.25), "not preserved")],
)
def test_the_mean_is_held_against_the_margin(build: Build, interval: tuple[float, float], conclusion: str) -> None:
    (kept,) = build(summary(interval))["zero_shot"]["kept"]
    assert (kept["tower"], kept["margin"], kept["conclusion"]) == ("after", 1, conclusion)


def test_sets_stand_in_the_order_of_their_summary_and_count_as_one(build: Build) -> None:
    sets = [
        against(zero_shot_set(AFTER, name, [1, 0, 1]), zero_shot_set(BEFORE, name, [1, 1, 1]))
        for name in ("dtd", "mnist")
    ]
    content = build(*sets, summary((-0.75, -0.25)))
    assert [row["name"] for row in content["zero_shot"]["sets"]] == ["MNIST", "DTD"]
    assert [row["name"] for row in content["zero_shot"]["averages"]] == ["Zero-shot mean"]
    assert [row["name"] for row in content["summary"]] == ["Zero-shot mean"]
    difference = content["zero_shot"]["sets"][0]["cells"][1]["difference"]
    assert difference["value"] == pytest.approx(-100 / 3)
    assert (difference["wins"], difference["losses"]) == (0, 1)


def test_missing_sets_are_named(build: Build) -> None:
    content = build(summary((-0.75, -0.25), **{"absent/pets": percent(0, 0), "failed/cars": percent(0, 0)}))
    assert (content["zero_shot"]["absent"], content["zero_shot"]["failed"]) == (["pets"], ["cars"])


def test_the_verdict_says_what_the_mean_is_over(build: Build) -> None:
    missing = {"absent/pets": percent(0, 0), "failed/cars": percent(0, 0)}
    (verdict,) = build(summary((-0.75, -0.25), **missing))["verdicts"]
    assert verdict["sentence"].endswith("preserved to within 1 point on average over 2 sets (2 missing).")


def test_a_baseline_that_was_measured_again_by_itself_takes_no_verdict_away(build: Build) -> None:
    beside = summary((-0.75, -0.25), **{"absent/pets": percent(0, 0)})
    assert beside.baseline is not None
    later = beside.baseline.run.model_copy(update={"started": beside.baseline.run.started + timedelta(hours=1)})
    alone = beside.baseline.model_copy(update={"run": later})
    content = build(beside, alone)
    assert content["zero_shot"]["kept"][0]["conclusion"] == "preserved"
    assert content["left_out"] == []


def test_means_that_were_measured_apart_are_not_tested_as_if_sets_had_been_drawn(build: Build) -> None:
    content = build(zero_shot_summary(BEFORE, 75), zero_shot_summary(AFTER, 74))
    difference = content["zero_shot"]["averages"][0]["cells"][1]["difference"]
    assert (difference["value"], difference["interval"], difference["judgement"]) == (-1, None, "untested")


def test_means_of_classification_and_retrieval_are_shown_where_both_are_there(build: Build) -> None:
    parts = {f"average/{kind}": percent(74, 1) for kind in ("classification", "retrieval")}
    content = build(summary((-0.75, -0.25), **parts))
    names = [row["name"] for row in content["zero_shot"]["averages"]]
    assert names == ["Mean of classification", "Mean of retrieval", "Zero-shot mean"]


def test_sets_without_their_mean_are_in_the_summary_one_by_one(build: Build) -> None:
    content = build(zero_shot_set(AFTER, "dtd", [1, 0]), zero_shot_set(BEFORE, "dtd", [1, 1]))
    assert [row["name"] for row in content["summary"]] == ["zero_shot/dtd"]
    assert content["zero_shot"]["averages"] == []
