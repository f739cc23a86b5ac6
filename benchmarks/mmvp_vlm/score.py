"""MMVP-VLM's scoring rule, as pure functions of similarities and outcomes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from diva.evaluation.statistics import macro_mean


def pairs_right(similarities: ArrayLike, scale: float) -> NDArray[np.bool_]:
    """Return which pairs are right by MMVP's rule.

    For each statement the softmax over the two images decides: the first image is picked if its probability
    exceeds one half, so a tie picks the second. A pair is right if the first statement picks the first image
    and the second statement the second.

    Args:
        similarities: [..., 2 statements, 2 images].
        scale: the model's `logit_scale`, after the exponential; it matters only where float64 cannot tell two
            probabilities apart.

    Returns:
        [...] booleans.
    """
    logits = scale * np.asarray(similarities, dtype=np.float64)
    picks_first = softmax(logits, axis=-1)[..., 0] > 0.5
    return picks_first[..., 0] & ~picks_first[..., 1]


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
