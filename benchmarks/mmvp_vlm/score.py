"""MMVP-VLM's figures, as pure functions of outcomes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from diva.evaluation.statistics import macro_mean


def category_percentages(outcomes: ArrayLike, categories: Sequence[str]) -> dict[str, float]:
    """Return the percentage of right pairs of each category, in order of first appearance.

    Args:
        outcomes: [P], 1 right, 0 wrong, or a share over several draws.
        categories: the category of each of the P pairs.
    """
    values, names = np.asarray(outcomes, dtype=np.float64), np.asarray(categories)
    return {name: 100 * float(values[names == name].mean()) for name in dict.fromkeys(categories)}


def average_percentage(outcomes: ArrayLike, categories: Sequence[str]) -> float:
    """Return the mean of the categories' percentages, the figure that the papers report."""
    return 100 * macro_mean(outcomes, categories)
