"""The average over sets: its interval, its difference from the baseline, and what is missing from it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from diva.evaluation.comparison import paired_outcomes
from diva.evaluation.statistics import Interval, Values, sign_flip, weighted_differences
from diva.results import Comparison, DataSource, Item, Metric, Missing, Result, Run
from diva_benchmarks.fingerprint import hash_lines
from diva_benchmarks.zero_shot.evaluate import TASK
from diva_benchmarks.zero_shot.measured import ALL
from diva_benchmarks.zero_shot.sets import USUAL

AVERAGE = "average"


def summarise(
    results: Mapping[str, Result],
    absent: Iterable[str],
    failed: Iterable[str],
    *,
    margin: float,
    data: Path,
    run: Run,
) -> Result:
    """Average the headlines of the sets that were measured.

    Args:
        results: by set, all of the same towers; one at least.
        absent, failed: the other sets that were asked for.
        margin: the loss in points that would still be accepted.
        data: the folder of all sets.

    Returns:
        The result of all sets. Items are the sets, outcome the headline as a share. Metrics are `average` and one
        `average/<kind>` for each kind of set that was measured. Comparisons are those of the averages, that of all
        sets with the margin; their p-values come from the items of all sets, and wins and losses count sets.
    """
    missing = [Missing(name=name, reason="absent") for name in absent]
    missing += [Missing(name=name, reason="failed") for name in failed]
    summary = _summary(results, data, run, missing)
    baselines = {name: each.baseline for name, each in results.items() if each.baseline is not None}
    if baselines:
        summary.baseline = _summary(baselines, data, run, missing)
        summary.comparisons = [
            _compare(name, sets, margin if name == AVERAGE else None) for name, sets in _averages(results).items()
        ]
    return summary


def average_interval(values: Sequence[float], intervals: Sequence[Interval | None]) -> Interval:
    """Return the 95 % interval of the mean of independent estimates from theirs.

    Each limit's distance from the mean is the root of the sum of squares of the estimates' own distances, divided
    by their number (the method of variance estimates recovery, Zou and Donner 2008). So an interval that is
    lopsided stays lopsided, and a set needs nothing but its result file.
    """
    bounds = [interval or (value, value) for value, interval in zip(values, intervals, strict=True)]
    mean, count = float(np.mean(values)), len(values)
    below = math.hypot(*(value - low for value, (low, _) in zip(values, bounds, strict=True))) / count
    above = math.hypot(*(high - value for value, (_, high) in zip(values, bounds, strict=True))) / count
    return mean - below, mean + above


def headline(result: Result) -> Metric:
    """Return the figure that stands for a set."""
    return result.metrics[result.headline]


def kind_of(result: Result) -> str:
    """Return "classification" (of one label or several) or "retrieval"."""
    return "retrieval" if result.headline == USUAL["retrieval"] else "classification"


def _averages(results: Mapping[str, Result]) -> dict[str, list[Result]]:
    """Return the sets that each average is over."""
    averages = {AVERAGE: list(results.values())}
    for result in results.values():
        averages.setdefault(f"{AVERAGE}/{kind_of(result)}", []).append(result)
    return averages


def _summary(results: Mapping[str, Result], data: Path, run: Run, missing: list[Missing]) -> Result:
    first = next(iter(results.values()))
    metrics = {}
    for name, sets in _averages(results).items():
        figures = [headline(each) for each in sets]
        values = [figure.value for figure in figures]
        metrics[name] = Metric(
            value=float(np.mean(values)),
            unit="percent",
            n=len(values),
            interval=average_interval(values, [figure.interval for figure in figures]),
            breakdown="" if name == AVERAGE else "kind of set",
        )
    return Result(
        task=TASK,
        headline=AVERAGE,
        subject=first.subject,
        data=DataSource(
            name=f"{len(results)} sets",
            path=str(data),
            fingerprint=hash_lines(f"{name} {each.data.fingerprint}" for name, each in sorted(results.items())),
            items=sum(each.data.items for each in results.values()),
        ),
        metrics=metrics,
        missing=missing,
        items=[_item(name, each) for name, each in results.items()],
        run=run,
    )


def _item(name: str, result: Result) -> Item:
    figure = headline(result)
    low, high = figure.interval or (figure.value, figure.value)
    details: dict[str, float | str | list[int]] = {
        "title": result.data.name,
        "kind": kind_of(result),
        "metric": result.headline,
        "images": result.data.items,
        "low": low,
        "high": high,
    }
    return Item(id=name, group=ALL, outcome=figure.value / 100, details=details)


def _compare(metric: str, sets: Sequence[Result], margin: float | None) -> Comparison:
    comparisons = [each.comparisons[0] for each in sets]
    differences = [each.difference for each in comparisons]
    mean = float(np.mean(differences))
    low, high = average_interval(differences, [each.interval for each in comparisons])
    return Comparison(
        metric=metric,
        difference=mean,
        interval=(low, high),
        test="sign-flip test",
        p_value=sign_flip(np.concatenate([_weighted(each) for each in sets])),
        wins=sum(difference > 0 for difference in differences),
        losses=sum(difference < 0 for difference in differences),
        margin=margin,
    )


def _weighted(result: Result) -> Values:
    """Return what each item adds to the set's difference; sets weigh alike, so their number may be left out."""
    return weighted_differences(*paired_outcomes(result, result.baseline)) if result.baseline else np.zeros(0)
