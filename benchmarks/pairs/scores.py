"""A result's scores one by one: what each pair weighs, and the comparison of two results by every rule."""

import numpy as np

from diva.evaluation.comparison import by_metric, compare
from diva.evaluation.statistics import Values, weighted_differences
from diva.results import Comparison, Result
from diva_benchmarks.pairs.sets import SETS


def compare_scores(result: Result, baseline: Result) -> list[Comparison]:
    """Compare two results of one set by every rule that both hold, the headline first.

    Raises:
        InputError: they were not measured alike.
    """
    grouped = categories_of(result) is not None
    rules = [name for name, metric in result.metrics.items() if not metric.breakdown and name in baseline.metrics]
    return [compare(by_metric(result, rule), by_metric(baseline, rule), rule, grouped=grouped) for rule in rules]


def weights_of(result: Result) -> Values:
    """Return what each pair weighs in the scores [pairs], in the order of the items; the weights sum to 1."""
    n = len(result.items) or result.data.items
    return weighted_differences(np.ones(n), np.zeros(n), categories_of(result) or None)


def categories_of(result: Result) -> list[str] | None:
    """Return each item's category where the headline is their mean, as MMVP-VLM's is; None elsewhere."""
    facts = SETS.get(result.part)
    return [item.group for item in result.items] if facts is None or facts.by_category else None
