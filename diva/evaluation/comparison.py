"""Two results of one benchmark, item by item: the difference, its interval, its test, and a plain verdict."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from diva.errors import Changed
from diva.evaluation.judgement import Judgement, judge, judge_preservation, too_little
from diva.evaluation.statistics import difference_interval, macro_mean, paired_test
from diva.evaluation.wording import chance, points, signed, signed_number
from diva.results import Comparison, Item, Result


def paired_outcomes(result: Result, baseline: Result) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    """Return the outcomes of both results in the same order of items, and each item's group.

    Raises:
        InputError: they differ in task, settings, data or items, so that no difference means anything.
    """
    for field, ours, theirs in (
        ("task", result.measured, baseline.measured),
        ("settings", result.protocol, baseline.protocol),
        ("data.fingerprint", result.data.fingerprint, baseline.data.fingerprint),
        ("items", _keys(result), _keys(baseline)),
    ):
        if ours != theirs:
            shown = f" ('{ours}' and '{theirs}')" if isinstance(ours, str) else ""
            raise Changed(
                field,
                f"differs between '{result.subject.label}' and '{baseline.subject.label}'{shown};"
                " measure both towers on the same data with the same settings",
            )
    ours_at = {item.id: item for item in result.items}
    return (
        np.array([ours_at[item.id].outcome for item in baseline.items]),
        np.array([item.outcome for item in baseline.items]),
        [item.group for item in baseline.items],
    )


def compare(result: Result, baseline: Result, metric: str, *, grouped: bool = True) -> Comparison:
    """Compare `result` with `baseline` in the outcomes' mean, in percentage points where that is a percentage.

    Args:
        metric: the name under which both results hold that mean.
        grouped: whether it is the mean of the groups' means.

    Raises:
        InputError: the two were not measured alike.
    """
    ours, theirs, of_items = paired_outcomes(result, baseline)
    groups = of_items if grouped else None
    low, high = difference_interval(ours, theirs, groups)
    test = paired_test(ours, theirs, groups)
    scale = 100 if result.metrics[metric].unit == "percent" else 1
    return Comparison(
        metric=metric,
        difference=scale * macro_mean(ours - theirs, groups),
        interval=(scale * low, scale * high),
        test=test.name,
        p_value=test.p_value,
        wins=test.wins,
        losses=test.losses,
    )


def by_metric(result: Result, metric: str) -> Result:
    """Return `result` with `metric` as its headline: its items' detail of that name in place of their outcomes.

    Raises:
        InputError: an item holds none.
    """
    if metric == result.headline:
        return result
    items = [Item(id=item.id, group=item.group, outcome=item.number(metric)) for item in result.items]
    return result.model_copy(update={"headline": metric, "items": items, "baseline": None, "comparisons": []})


def verdict(comparison: Comparison, unit: str = "percent", *, higher_is_better: bool = True) -> str:
    """Say in one clause what a comparison shows of a metric in `unit`."""
    judgement = judge(comparison.interval, comparison.p_value, higher_is_better=higher_is_better)
    interval = p_value = counts = ""
    if comparison.interval:
        low, high = (signed(end, unit) for end in comparison.interval)
        interval = f", 95 % interval {low} to {high}"
    if comparison.p_value is not None:
        p_value = f"{comparison.test} {chance(comparison.p_value)}"
    if comparison.wins is not None:
        counts = f"{comparison.wins} won, {comparison.losses} lost"
    reasons = ", ".join(filter(None, (counts, p_value)))
    shown = f"difference {signed(comparison.difference, unit)}{points(unit)}{interval}: {judgement}"
    return f"{shown} ({reasons})" if reasons else shown


def preserved(result: Result, comparison: Comparison) -> Judgement:
    """Judge whether the loss in a mean over sets stayed within the comparison's margin."""
    assert comparison.margin is not None
    sets, items = result.metrics[comparison.metric].n, result.data.items
    return judge_preservation(comparison.interval, comparison.margin, sets=sets, items=items)


def preservation(result: Result, comparison: Comparison) -> str:
    """Say whether the loss in a mean over sets stayed within the comparison's margin, and why."""
    assert comparison.margin is not None
    judgement = preserved(result, comparison)
    if reason := too_little(result.metrics[comparison.metric].n, result.data.items):
        return f"{judgement}: {reason}"
    where = {Judgement.PRESERVED: "lies above", Judgement.NOT_PRESERVED: "lies below"}
    low, high = comparison.interval or (float("-inf"), float("inf"))
    return (
        f"{judgement}: the difference of {signed_number(comparison.difference, 2)} points, 95 % interval"
        f" {signed_number(low, 2)} to {signed_number(high, 2)}, {where.get(judgement, 'does not decide on')}"
        f" the margin of {signed_number(-comparison.margin, 2)}"
    )


def _keys(result: Result) -> Sequence[tuple[str, str]]:
    return sorted((item.id, item.group) for item in result.items)
