"""Intervals and paired tests over per-item outcomes, shared by every benchmark and pipeline.

An outcome is a number per item: 1 right, 0 wrong, or a share where an item was asked several times. Items may
fall into groups that weigh the same however many items they hold (the nine patterns of MMVP-VLM); then the
mean is the mean of the groups' means, and a bootstrap resample keeps every group's size.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
RESAMPLES = 10_000
SWAPS, SWAPS_TOGETHER = 2_000, 100  # of counts, each of which adds up every item again
DECIMALS = 12  # of differences; beyond them lies the rounding of shares
SEED = 0  # an interval is a function of its outcomes: the same outcomes give the same interval

Interval = tuple[float, float]
Values = NDArray[np.float64]


class PairedTest(NamedTuple):
    """The outcome of a paired test.

    Attributes:
        name: "exact McNemar" for outcomes of 0 and 1 that all weigh the same, "sign-flip test" for others.
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


def paired_test(ours: ArrayLike, theirs: ArrayLike, groups: Sequence[str] | None = None) -> PairedTest:
    """Test whether `macro_mean` of `ours` and of `theirs` on the same items differ by chance alone."""
    difference = weighted_differences(ours, theirs, groups)
    wins, losses = int(np.sum(difference > 0)), int(np.sum(difference < 0))
    binary = bool(np.isin([*_values(ours), *_values(theirs)], (0, 1)).all())
    weights = np.abs(difference[difference != 0])
    name = "exact McNemar" if binary and np.allclose(weights, weights[:1], rtol=1e-9, atol=0) else "sign-flip test"
    return PairedTest(name, sign_flip(difference), wins, losses)


def weighted_differences(ours: ArrayLike, theirs: ArrayLike, groups: Sequence[str] | None = None) -> Values:
    """Return what each item adds to the difference of `ours` and `theirs` in `macro_mean`; they sum to it."""
    difference = np.subtract(_values(ours), _values(theirs)).round(DECIMALS)
    labels = np.zeros(len(difference)) if groups is None else np.asarray(groups)
    _, group, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    weighted: Values = difference / sizes[group] / len(sizes)
    return weighted


def sign_flip(differences: Values) -> float:
    """Return the two-sided p-value of the sum of paired differences: how often random signs give one as large.

    Only items that differ carry information: under no difference each sign is a fair coin. Where all weigh the
    same that is a binomial, for right and wrong McNemar's exact test; otherwise all signs are tried, or where that
    is too many they are drawn `RESAMPLES` times. Equal differences are interchangeable, so a draw is a binomial one
    for each distinct size.
    """
    largest = np.abs(differences).max(initial=0.0)
    if not largest:
        return 1.0
    differing = (differences / largest).round(DECIMALS)
    differing = differing[differing != 0]
    sizes, counts = np.unique(np.abs(differing), return_counts=True)
    if len(sizes) == 1:
        from scipy.stats import binomtest  # takes a second to import

        return float(binomtest(int(np.sum(differing > 0)), len(differing)).pvalue)
    least = abs(differing.sum()) * (1 - 1e-9)  # sums in another order differ by a rounding
    if 2 ** len(differing) <= RESAMPLES:
        signs = 1 - 2 * (np.arange(2 ** len(differing))[:, None] >> np.arange(len(differing)) & 1)
        return float(np.mean(np.abs(signs @ differing) >= least))
    random, sums = np.random.default_rng(SEED), np.zeros(RESAMPLES)
    for size, count in zip(sizes, counts, strict=True):
        sums += size * (2 * random.binomial(count, 0.5, size=RESAMPLES) - count)
    return (1 + int(np.sum(np.abs(sums) >= least))) / (1 + RESAMPLES)


def swap_test(ours: NDArray[np.number], theirs: NDArray[np.number], statistic: Callable[[Values], Values]) -> float:
    """Return the two-sided p-value of `statistic` of all of `ours` minus that of all of `theirs`.

    It is for a figure of summed counts that is not a mean over items, such as a mean IoU: under no difference an
    item's counts may as well be the other tower's, so pairs are swapped at random, `SWAPS` times.

    Args:
        ours, theirs: counts of the same N items, [N, ...].
        statistic: sums over items [draws, ...] → figures [draws].
    """
    random, n = np.random.default_rng(SEED), len(ours)
    shape = ours.shape[1:]
    moved = (ours - theirs).reshape(n, -1).astype(np.float64)
    totals = [each.reshape(n, -1).sum(0, dtype=np.float64) for each in (ours, theirs)]

    def differences(swapped: Values) -> Values:
        change = swapped @ moved
        first, second = (statistic(each.reshape(-1, *shape)) for each in (totals[0] - change, totals[1] + change))
        return np.abs(first - second)

    least = differences(np.zeros((1, n)))[0] * (1 - 1e-9)  # sums in another order differ by a rounding
    drawn = (
        random.integers(2, size=(SWAPS_TOGETHER, n)).astype(np.float64) for _ in range(SWAPS // SWAPS_TOGETHER)
    )
    extreme = sum(int(np.sum(~(differences(each) < least))) for each in drawn)  # no figure counts against a change
    return (1 + extreme) / (1 + SWAPS)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's p-values, which hold for all of these tests together (Holm 1979)."""
    order = np.argsort(p_values)
    adjusted = np.maximum.accumulate([(len(order) - rank) * p_values[place] for rank, place in enumerate(order)])
    return [min(1.0, float(adjusted[rank])) for rank in np.argsort(order)]


def _z() -> float:
    return NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def _values(values: ArrayLike) -> Values:
    return np.asarray(values, dtype=np.float64)


def _strata(values: ArrayLike, groups: Sequence[str] | None) -> list[Values]:
    array = _values(values)
    if groups is None:
        return [array]
    labels = np.asarray(groups)
    return [array[labels == label] for label in dict.fromkeys(groups)]
