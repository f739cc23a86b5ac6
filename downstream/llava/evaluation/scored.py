"""What goes into scoring a benchmark, and what comes out."""

from collections.abc import Sequence
from typing import NamedTuple

from diva.evaluation.statistics import wilson_interval
from diva.results import Item, Metric
from diva_downstream.llava.tasks.source import Document

ALL = "all"  # the group of items that count alike
UNREAD = "unread"


class Answered(NamedTuple):
    """A question as its task reads it, and what the model said, without space at the ends."""

    document: Document
    answer: str


class Scored(NamedTuple):
    """Metrics, the headline first, and items."""

    metrics: dict[str, Metric]
    items: list[Item]


def share(outcomes: Sequence[float], *, higher_is_better: bool = True, breakdown: str = "") -> Metric:
    """Return the percentage of `outcomes` that are right, one at least, with Wilson's interval."""
    mean, n = sum(outcomes) / len(outcomes), len(outcomes)
    low, high = wilson_interval(mean, n)
    return Metric(
        value=100 * mean,
        unit="percent",
        n=n,
        interval=(100 * low, 100 * high),
        higher_is_better=higher_is_better,
        breakdown=breakdown,
    )
