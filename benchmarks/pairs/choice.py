"""What choosing one of several towers on the test set itself adds to its score.

Looks are towers that were measured on the same pairs before one was chosen: checkpoints, seeds, settings. Their
outcomes are correlated, since they share the pairs and most of their weights; resampling pairs keeps that.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from diva.evaluation.statistics import CONFIDENCE, SEED, Interval

SPLITS = 200
DRAWS, TOGETHER = 2_000, 500  # resamples, and those that are held in memory at once

Values = NDArray[np.float64]


def best_by_chance(looks: Values, baseline: Values, groups: Sequence[str] | None) -> tuple[float, Interval]:
    """Return how far the best of the looks lies above the baseline if all of them are as good as it.

    Pairs are drawn anew, group by group; what a look's difference from the baseline moves by is chance, and the
    largest of these moves is what choosing gains.

    Args:
        looks: outcomes [K, pairs]; baseline: [pairs].

    Returns:
        The gain to expect; and the band which in 95 of 100 data sets no look leaves.
    """
    weights, members = _weights(groups, looks.shape[1])
    differences = (looks - baseline) * weights
    random, best, worst = np.random.default_rng(SEED), [], []
    for _ in range(DRAWS // TOGETHER):
        counts = np.zeros((TOGETHER, looks.shape[1]))
        for of_group in members:
            share = np.full(len(of_group), 1 / len(of_group))
            counts[:, of_group] = random.multinomial(len(of_group), share, size=TOGETHER)
        moved = (counts - 1) @ differences.T
        best.append(moved.max(1))
        worst.append(moved.min(1))
    tail = (1 - CONFIDENCE) / 2
    highest, lowest = np.concatenate(best), np.concatenate(worst)
    return float(highest.mean()), (float(np.quantile(lowest, tail)), float(np.quantile(highest, 1 - tail)))


def held_out(looks: Values, groups: Sequence[str] | None) -> Values:
    """Return each pair's outcome by the look that is chosen without it: its mean over random halves.

    In each of `SPLITS` splits, half of every group's pairs choose the look with the best score, which is then
    scored on the other half, and the other way round. A choice that gains nothing but chance gains nothing here.

    Args:
        looks: outcomes [K, pairs].

    Returns:
        [pairs].
    """
    weights, members = _weights(groups, looks.shape[1])
    random, total = np.random.default_rng(SEED), np.zeros(looks.shape[1])
    weighted = looks * weights
    for _ in range(SPLITS):
        first = np.zeros(looks.shape[1], dtype=bool)
        for of_group in members:
            half = (len(of_group) + random.integers(2)) // 2  # of an odd number, either way
            first[random.permutation(of_group)[:half]] = True
        for chooses in (first, ~first):
            chosen = int(weighted[:, chooses].sum(1).argmax())
            total[~chooses] += looks[chosen, ~chooses]
    return total / SPLITS


def _weights(groups: Sequence[str] | None, n: int) -> tuple[Values, list[NDArray[np.intp]]]:
    """Return what a pair weighs in the score [pairs], and the pairs of each group."""
    labels = np.zeros(n) if groups is None else np.asarray(groups)
    names, group, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    return 1 / sizes[group] / len(names), [np.flatnonzero(group == number) for number in range(len(names))]
