import pytest
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar

from diva.evaluation.measures import paired_difference
from diva.evaluation.section import Change
from diva.results import Metric
from tests.benchmarks.report.examples import AFTER, BEFORE, OTHER, against, compared, mmvp, percent, result


def test_towers_measured_alike_are_paired_item_by_item() -> None:
    ours, theirs = [1] * 12 + [0] * 2 + [1] * 6, [0] * 12 + [1] * 2 + [1] * 6
    found = paired_difference(result(AFTER, ours), result(BEFORE, theirs), "accuracy")
    assert found.value == pytest.approx(100 * (12 - 2) / 20)
    assert (found.wins, found.losses) == (12, 2)
    assert found.p_value == pytest.approx(mcnemar([[6, 12], [2, 0]], exact=True).pvalue)
    assert found.p_value == pytest.approx(binomtest(2, 14).pvalue)
    assert found.interval is not None
    assert found.interval[0] < found.value < found.interval[1]
    assert found.judgement == "better"


def test_groups_weigh_alike_where_the_metric_does() -> None:
    ours = mmvp(AFTER, {"Texts": [1, 1, 1, 1], "State": [0.0]})
    theirs = mmvp(BEFORE, {"Texts": [0, 1, 1, 1], "State": [0.0]})
    assert paired_difference(ours, theirs, "average").value == pytest.approx((25 + 0) / 2)


def test_the_comparison_that_a_result_holds_is_taken_over() -> None:
    theirs = result(BEFORE, [0, 1])
    ours = against(result(AFTER, [1, 1]), theirs, compared("accuracy", 49.5, (10, 90), 0.02))
    found = paired_difference(ours, theirs, "accuracy")
    assert (found.value, found.interval, found.p_value, found.judgement) == (49.5, (10, 90), 0.02, "better")


def test_a_comparison_with_another_baseline_is_not_taken_over() -> None:
    ours = against(result(AFTER, [1, 1]), result(OTHER, [0, 1]), compared("accuracy", 49.5, (10, 90), 0.02))
    assert paired_difference(ours, result(BEFORE, [0, 0]), "accuracy").value == 100


def test_a_metric_that_is_no_mean_of_outcomes_is_subtracted_but_not_tested() -> None:
    ours = result(AFTER, [1, 1, 0], metrics={"mIoU": percent(33.5, 3)})
    theirs = result(BEFORE, [0, 1, 0], metrics={"mIoU": percent(32.25, 3)})
    found = paired_difference(ours, theirs, "mIoU")
    assert (found.value, found.interval, found.judgement) == (1.25, None, "untested")


def test_a_figure_without_items_is_subtracted_but_not_tested() -> None:
    speed = [{"speed": Metric(value=value, unit="images/s", n=10)} for value in (98.5, 64.0)]
    ours, theirs = (
        result(subject, [1], metrics=metrics, items=[])
        for subject, metrics in zip((AFTER, BEFORE), speed, strict=True)
    )
    assert paired_difference(ours, theirs, "speed") == Change(value=34.5, unit="images/s")
