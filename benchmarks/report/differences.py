"""A tower minus the baseline in one metric, and whether that may be called better or worse."""

import math

from diva.results import Comparison, Metric, Result
from diva_benchmarks.comparison import SIGNIFICANT, paired_outcomes
from diva_benchmarks.report.content import Difference, Interval, Judgement
from diva_benchmarks.statistics import difference_interval, macro_mean, paired_test


def judge(interval: Interval | None, p_value: float | None, *, higher_is_better: bool = True) -> Judgement:
    """Call a change better or worse only if its interval leaves out 0 and its paired test agrees."""
    if interval is None or p_value is None:
        return "untested"
    low, high = interval
    if p_value >= SIGNIFICANT or low <= 0 <= high:
        return "no change shown"
    return "better" if (low > 0) == higher_is_better else "worse"


def headline_difference(ours: Result, theirs: Result, metric: str) -> Difference:
    """Compare the headline `metric` item by item, or take over the comparison that `ours` holds with `theirs`.

    Where the metric is not the mean of the outcomes (a mean IoU) and no comparison is held, the plain
    difference is returned, untested.

    Raises:
        InputError: the two were not measured on the same items.
    """
    held = _held(ours, theirs, metric)
    if held:
        return held
    if not (ours.items or theirs.items):
        return other_difference(ours, theirs, metric)
    first, second, groups = paired_outcomes(ours, theirs)
    for strata in (groups, None):
        if _is_mean(ours.metrics[metric], macro_mean(first, strata)) and _is_mean(
            theirs.metrics[metric], macro_mean(second, strata)
        ):
            scale = _scale(ours.metrics[metric])
            low, high = difference_interval(first, second, strata)
            test = paired_test(first, second, strata)
            comparison = Comparison(
                metric=metric,
                difference=scale * macro_mean(first - second, strata),
                interval=(scale * low, scale * high),
                test=test.name,
                p_value=test.p_value,
                wins=test.wins,
                losses=test.losses,
            )
            return _judged(comparison, ours.metrics[metric])
    return other_difference(ours, theirs, metric)


def other_difference(ours: Result, theirs: Result, metric: str) -> Difference:
    """Return the comparison that `ours` holds with `theirs` in `metric`, else the plain difference, untested."""
    held = _held(ours, theirs, metric)
    return held or Difference(value=ours.metrics[metric].value - theirs.metrics[metric].value)


def _held(ours: Result, theirs: Result, metric: str) -> Difference | None:
    before = ours.baseline
    same = (
        before
        and before.subject.sha256 == theirs.subject.sha256
        and before.metrics.get(metric) == theirs.metrics.get(metric)
    )
    held = next((each for each in ours.comparisons if each.metric == metric), None)
    return _judged(held, ours.metrics[metric]) if same and held else None


def _judged(comparison: Comparison, metric: Metric) -> Difference:
    return Difference(
        value=comparison.difference,
        interval=comparison.interval,
        test=comparison.test,
        p_value=comparison.p_value,
        wins=comparison.wins,
        losses=comparison.losses,
        judgement=judge(comparison.interval, comparison.p_value, higher_is_better=metric.higher_is_better),
    )


def _is_mean(metric: Metric, mean: float) -> bool:
    return math.isclose(_scale(metric) * mean, metric.value, abs_tol=1e-6)


def _scale(metric: Metric) -> float:
    return 100 if metric.unit == "percent" else 1
