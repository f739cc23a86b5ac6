import pytest

from tests.benchmarks.report.conftest import Build
from tests.benchmarks.report.examples import (
    AFTER,
    BEFORE,
    HALF,
    OTHER,
    against,
    mmvp,
    right_in_each,
    zero_shot_summary,
)


def test_averages_stand_between_base_and_trained_tower_by_share(build: Build) -> None:
    base, mean = mmvp(BEFORE, right_in_each(1)), zero_shot_summary(BEFORE, 75)
    content = build(
        against(mmvp(AFTER, right_in_each(3)), base),
        against(zero_shot_summary(AFTER, 70), mean),
        against(mmvp(HALF, right_in_each(2)), base),
        against(zero_shot_summary(HALF, 74.5), mean),
        against(mmvp(OTHER, right_in_each(4)), base),
        against(zero_shot_summary(OTHER, 60), mean),
    )
    (curve,) = content["trade_offs"]
    points = [
        (each["share"], each["tower"], each["zero_shot"]["value"], each["mmvp"]["value"])
        for each in curve["points"]
    ]
    assert points == [
        (0, "before", 75, pytest.approx(25)),
        (0.5, "half", 74.5, pytest.approx(50)),
        (1, "after", 70, pytest.approx(75)),
    ]
    assert (curve["recipe"], curve["protocol"]) == (AFTER.recipe, "pooled")


def test_a_point_needs_both_figures_and_a_curve_an_average(build: Build) -> None:
    base, mean = mmvp(BEFORE, right_in_each(1)), zero_shot_summary(BEFORE, 75)
    only_pairs = (against(mmvp(HALF, right_in_each(2)), base), mean)
    assert build(*only_pairs)["trade_offs"] == []
    assert (
        build(against(mmvp(AFTER, right_in_each(2)), base), against(zero_shot_summary(AFTER, 70), mean))[
            "trade_offs"
        ]
        == []
    )
