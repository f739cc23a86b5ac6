"""What so many items can show: the smallest difference between two towers, and the lowest score above guessing.

Both are of the exact tests that the suite uses, two-sided at 5 %, which find such a difference in four of five data
sets of that size.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom

from diva.evaluation.judgement import SIGNIFICANT

POWER = 0.8
SPREAD = 8  # standard deviations within which all of a binomial lies, for the power's sake


def smallest_difference(n: int, differing: float) -> float | None:
    """Return the least true difference that McNemar's exact test finds between two towers.

    Args:
        n: items on which both are measured.
        differing: the share of items on which one alone is right.

    Returns:
        A share; None where even changes for the better alone would not be found.
    """

    def found(difference: float) -> float:
        changed = _likely(n, differing)
        least = binom.isf(SIGNIFICANT / 2, changed, 0.5) + 1
        wins = (differing + difference) / 2 / differing
        return float(binom.pmf(changed, n, differing) @ binom.sf(least - 1, changed, min(wins, 1.0)))

    return _solve(found, 0.0, differing) if differing else None


def least_above(chance: float, n: int) -> float | None:
    """Return the least true score that the exact binomial test tells from guessing `chance` right, of `n` items."""
    least = int(binom.isf(SIGNIFICANT / 2, n, chance)) + 1
    return _solve(lambda score: float(binom.sf(least - 1, n, score)), chance, 1.0)


def _solve(power: Callable[[float], float], low: float, high: float) -> float | None:
    if power(high) < POWER:
        return None
    return float(brentq(lambda value: power(value) - POWER, low, high, xtol=1e-6))


def _likely(n: int, share: float) -> np.ndarray:
    half = SPREAD * np.sqrt(n * share * (1 - share)) + 1
    return np.arange(max(0, int(n * share - half)), min(n, int(n * share + half)) + 1)
