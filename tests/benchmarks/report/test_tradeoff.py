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
from tests.benchmarks.report.figures import names, section, tables, text, value


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
    (table,) = tables(section(content, "trade-off")["blocks"])
    assert [head["title"] for head in table["head"]] == ["Share", "MMVP-VLM", "Zero-shot mean"]
    assert [(row["name"], row["note"], value(row, 0), value(row, 1)) for row in table["rows"]] == [
        ("0", "before", pytest.approx(25), 75),
        ("0.5", "half", pytest.approx(50), 74.5),
        ("1", "after", pytest.approx(75), 70),
    ]
    assert AFTER.recipe in text(section(content, "trade-off")["blocks"])


def test_a_measure_needs_two_of_the_towers_and_a_curve_an_average(build: Build) -> None:
    base, mean = mmvp(BEFORE, right_in_each(1)), zero_shot_summary(BEFORE, 75)
    content = build(against(mmvp(HALF, right_in_each(2)), base), mean)
    (table,) = tables(section(content, "trade-off")["blocks"])
    assert [head["title"] for head in table["head"]] == ["Share", "MMVP-VLM"]
    without = build(against(mmvp(AFTER, right_in_each(2)), base), against(zero_shot_summary(AFTER, 70), mean))
    assert "trade-off" not in names(without)
