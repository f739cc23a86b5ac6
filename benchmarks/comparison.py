"""Two results of one benchmark, item by item: the difference, its interval, its test, and a plain verdict."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from diva.errors import InputError
from diva.results import Comparison, Result
from diva_benchmarks.signed import signed
from diva_benchmarks.statistics import difference_interval, macro_mean, paired_test

SIGNIFICANT = 0.05


def paired_outcomes(result: Result, baseline: Result) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    """Return the outcomes of both results in the same order of items, and each item's group.

    Raises:
        InputError: they differ in benchmark, protocol, data or items, so that no difference means anything.
    """
    for field, ours, theirs in (
        ("benchmark", result.benchmark, baseline.benchmark),
        ("protocol", result.protocol, baseline.protocol),
        ("data.fingerprint", result.data.fingerprint, baseline.data.fingerprint),
        ("items", _keys(result), _keys(baseline)),
    ):
        if ours != theirs:
            shown = f" ('{ours}' and '{theirs}')" if isinstance(ours, str) else ""
            raise InputError(
                f"{field}: differs between '{result.subject.label}' and '{baseline.subject.label}'{shown};"
                " measure both towers on the same data with the same protocol"
            )
    ours_at = {item.id: item for item in result.items}
    return (
        np.array([ours_at[item.id].outcome for item in baseline.items]),
        np.array([item.outcome for item in baseline.items]),
        [item.group for item in baseline.items],
    )


def compare(result: Result, baseline: Result, metric: str) -> Comparison:
    """Compare `result` with `baseline` in percentage points of the outcomes' mean over the groups.

    Args:
        metric: the name under which both results hold that mean.

    Raises:
        InputError: the two were not measured alike.
    """
    ours, theirs, groups = paired_outcomes(result, baseline)
    low, high = difference_interval(ours, theirs, groups)
    test = paired_test(ours, theirs, groups)
    return Comparison(
        metric=metric,
        difference=100 * macro_mean(ours - theirs, groups),
        interval=(100 * low, 100 * high),
        test=test.name,
        p_value=test.p_value,
        wins=test.wins,
        losses=test.losses,
    )


def verdict(comparison: Comparison) -> str:
    """Say in one clause what a comparison shows; a change counts only if interval and test agree on it."""
    low, high = comparison.interval or (-np.inf, np.inf)
    if comparison.p_value < SIGNIFICANT and (low > 0 or high < 0):
        judgement = "higher than the baseline" if low > 0 else "lower than the baseline"
    else:
        judgement = "not distinguishable from no change"
    interval = f", 95 % interval {signed(low)} to {signed(high)}" if comparison.interval else ""
    p_value = "p < 0.001" if comparison.p_value < 0.001 else f"p = {comparison.p_value:.2g}"
    return (
        f"difference {signed(comparison.difference)} points{interval}: {judgement}"
        f" ({comparison.wins} won, {comparison.losses} lost, {comparison.test} {p_value})"
    )


def _keys(result: Result) -> Sequence[tuple[str, str]]:
    return sorted((item.id, item.group) for item in result.items)
