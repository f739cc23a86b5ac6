"""MMVP's rule: when a pair of images and statements is right."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax


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
