"""What measuring one tower on one set gives."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diva.evaluation.statistics import CONFIDENCE, Interval
from diva.results import Item, Metric

ALL = "all"  # the group of items that count alike


@dataclass(frozen=True)
class Measured:
    """Metrics and items; the headline comes first.

    Attributes:
        items: the mean of their outcomes over their groups is the headline.
        draws: the headline, as a share, in each of the bootstrap's resamples of the images, which are the same
            for every tower; None where resampling the items does as well.
    """

    metrics: dict[str, Metric]
    items: list[Item]
    draws: NDArray[np.float64] | None = None


def percentage(mean: float, n: int, interval: Interval) -> Metric:
    """Return the metric of a share `mean` over `n` items."""
    low, high = interval
    return Metric(value=100 * mean, unit="percent", n=n, interval=(100 * low, 100 * high))


def quantile_interval(draws: NDArray[np.float64]) -> Interval:
    """Return the 95 % percentile interval of a bootstrap's draws."""
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
