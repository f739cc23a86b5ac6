"""When a set of images and statements is right: the rule of each benchmark, and how often guessing gets it right.

Similarities are [..., T statements, I images]: statement k belongs to image k, and further statements to none. With
a single image the first statements are true of it. Guessing means similarities that are independent draws of one
continuous distribution; a tower whose images or statements attract whatever they are compared with lies below that.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

CATEGORY = "category/"  # begins the names of the metrics of a breakdown

Decisions = NDArray[np.bool_]
Similarities = NDArray[np.float64]


class Rule(NamedTuple):
    """How similarities are decided.

    Attributes:
        name: as results and tables call the score.
        right: similarities [..., T, I], the model's `logit_scale` after the exponential → [...].
        chance: statements, images → the share that guessing gets right.
    """

    name: str
    right: Callable[[Similarities, float], Decisions]
    chance: Callable[[int, int], float]


class Scoring(NamedTuple):
    """How similarities become the figures of a result.

    Attributes:
        task, part: of the result.
        title: of the data.
        rules: by the names of their metrics, the headline's first.
        by_category: whether the headline is the mean of the categories' percentages.
        breakdown: what the categories are.
        prompt: stands before every statement.
    """

    task: str
    title: str
    rules: Mapping[str, Rule]
    part: str = ""
    by_category: bool = False
    breakdown: str = "category"
    prompt: str = ""

    @property
    def headline(self) -> str:
        """The name of the first rule's metric."""
        return next(iter(self.rules))


def pairs_right(similarities: ArrayLike, scale: float) -> Decisions:
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
    from scipy.special import softmax  # takes a quarter of a second to import

    picks_first = softmax(logits, axis=-1)[..., 0] > 0.5
    return picks_first[..., 0] & ~picks_first[..., 1]


def _texts_right(similarities: Similarities, _: float) -> Decisions:
    """Each image is closer to its statement than to any other."""
    return _all(_own_above_others(np.swapaxes(similarities, -1, -2)))


def _images_right(similarities: Similarities, _: float) -> Decisions:
    """Each statement is closer to its image than to any other."""
    images = similarities.shape[-1]
    return _all(_own_above_others(similarities[..., :images, :]))


def _group_right(similarities: Similarities, scale: float) -> Decisions:
    return _texts_right(similarities, scale) & _images_right(similarities, scale)


def _match_right(similarities: Similarities, _: float) -> Decisions:
    """The true matching has the larger sum of the two."""
    own = similarities[..., 0, 0] + similarities[..., 1, 1]
    return own > similarities[..., 0, 1] + similarities[..., 1, 0]


def _argmax_right(similarities: Similarities, _: float) -> Decisions:
    """Each image's largest similarity is that of its statement, which numpy's argmax finds first among equals."""
    own = np.diagonal(similarities, axis1=-2, axis2=-1)
    return _all(own >= similarities.max(-2))


def _both_right(similarities: Similarities, _: float) -> Decisions:
    """The one image is closer to both of its statements than to the third."""
    return _all(similarities[..., :2, 0] > similarities[..., 2:, 0])


def _own_above_others(rows: Similarities) -> Decisions:
    """Return [..., rows]: whether entry k of row k is above the other entries."""
    own = np.diagonal(rows, axis1=-2, axis2=-1)[..., None]
    others = ~np.eye(rows.shape[-2], rows.shape[-1], dtype=bool)
    return _all((own > rows) | ~others)


def _all(decisions: Decisions) -> Decisions:
    return np.asarray(decisions.all(-1))


TEXT = Rule("text score", _texts_right, lambda texts, images: texts**-images)
IMAGE = Rule("image score", _images_right, lambda _, images: images**-images)
# 1/6 of a pair of each: the two own similarities are the largest two of four
GROUP = Rule("group score", _group_right, lambda texts, _: 1 / (texts * (texts + 1)))
PAIR = Rule("pair rule", lambda similarities, scale: pairs_right(similarities[..., :2, :], scale), lambda *_: 0.25)
MATCH = Rule("GroupMatch", _match_right, lambda *_: 0.5)
ARGMAX = Rule("pair accuracy", _argmax_right, lambda texts, images: texts**-images)
BOTH = Rule("both captions", _both_right, lambda texts, _: 1 / math.comb(texts, 2))
