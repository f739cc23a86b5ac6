"""Intervals and paired tests over per-item outcomes, shared by every benchmark and pipeline.

An outcome is a number per item: 1 right, 0 wrong, or a share where an item was asked several times. Items may
fall into groups that weigh the same however many items they hold (the nine patterns of MMVP-VLM); then the
mean is the mean of the groups' means, and a bootstrap resample keeps every group's size.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from scipy.stats import binomtest

CONFIDENCE = 0.95
RESAMPLES = 10_000
SEED = 0  # an interval is a function of its outcomes: the same outcomes give the same interval

Interval = tuple[float, float]
Values = NDArray[np.float64]


class PairedTest(NamedTuple):
    """The outcome of an exact paired test.

    Attributes:
        name: "exact McNemar" for outcomes that are all 0 or 1, "exact sign test" for shares.
        p_value: two-sided.
        wins, losses: items on which the first, respectively the second, is better.
    """

    name: str
    p_value: float
    wins: int
    losses: int


def macro_mean(values: ArrayLike, groups: Sequence[str] | None = None) -> float:
    """Return the mean over the groups of each group's mean; the plain mean without groups."""
    return float(np.mean([stratum.mean() for stratum in _strata(values, groups)]))


def wilson_interval(mean: float, n: int) -> Interval:
    """Return Wilson's 95 % interval of a proportion `mean` of `n` items.

    Unlike the bootstrap it stays honest where few items are all right or all wrong. A mean of shares is taken
    as a proportion: no outcome in 0..1 varies more than a right-or-wrong one, so the interval is wide enough.
    """
    z = _z()
    centre = (mean + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(mean * (1 - mean) / n + z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_interval(values: ArrayLike, groups: Sequence[str] | None = None) -> Interval:
    """Return the 95 % percentile-bootstrap interval of `macro_mean`, stratified by group.

    Equal outcomes are interchangeable, so a resample of a group is a multinomial draw of how often each
    distinct outcome occurs. That is the same distribution as drawing item by item, at a thousandth of the cost
    for 50,000 right-or-wrong items; and a group of one item is allowed, which `scipy.stats.bootstrap` refuses.
    """
    random = np.random.default_rng(SEED)
    means = np.zeros(RESAMPLES)
    strata = _strata(values, groups)
    for stratum in strata:
        distinct, counts = np.unique(stratum, return_counts=True)
        drawn = random.multinomial(len(stratum), counts / len(stratum), size=RESAMPLES)
        means += drawn @ distinct / len(stratum) / len(strata)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def difference_interval(ours: ArrayLike, theirs: ArrayLike, groups: Sequence[str] | None = None) -> Interval:
    """Return the 95 % bootstrap interval of the paired mean difference `ours` - `theirs` on the same items.

    Swapping the two negates the interval exactly.
    """
    difference = np.subtract(ours, theirs)
    low, high = mean_interval(difference, groups)
    # the draws of the mirrored problem are others; the average of both has no preferred direction
    mirrored_low, mirrored_high = mean_interval(-difference, groups)
    return (low - mirrored_high) / 2, (high - mirrored_low) / 2


def paired_test(ours: ArrayLike, theirs: ArrayLike) -> PairedTest:
    """Test whether `ours` and `theirs` are right equally often on the same items; two-sided and exact.

    Only items that differ carry information: under no difference each is a fair coin. For outcomes of 0 and 1
    this is McNemar's exact test, otherwise the sign test.
    """
    first, second = _values(ours), _values(theirs)
    wins, losses = int(np.sum(first > second)), int(np.sum(first < second))
    p_value = float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
    binary = bool(np.isin(np.concatenate([first, second]), (0, 1)).all())
    return PairedTest("exact McNemar" if binary else "exact sign test", p_value, wins, losses)


def _z() -> float:
    return float(ndtri((1 + CONFIDENCE) / 2))


def _values(values: ArrayLike) -> Values:
    return np.asarray(values, dtype=np.float64)


def _strata(values: ArrayLike, groups: Sequence[str] | None) -> list[Values]:
    array = _values(values)
    if groups is None:
        return [array]
    labels = np.asarray(groups)
    return [array[labels == label] for label in dict.fromkeys(groups)]
