"""How many pixels of each class an image's prediction and truth share, whole and along their outlines."""

from enum import IntEnum
from math import hypot

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

OUTLINE = 0.02  # width of an outline, as a share of the image's diagonal


class Area(IntEnum):
    """The rows of an image's counts."""

    INTERSECTION = 0
    UNION = 1
    LABEL = 2
    OUTLINE_INTERSECTION = 3
    OUTLINE_UNION = 4


Counts = NDArray[np.int64]


def count_areas(prediction: NDArray[np.integer], label: NDArray[np.integer], classes: int, ignored: int) -> Counts:
    """Count pixels of one image by class; those whose label is `ignored` count nowhere.

    The last two rows are boundary IoU's (Cheng et al., arXiv 2103.16562): of both maps only the pixels nearer to
    an outline than 2 % of the diagonal, the image's border and what is ignored being outlines too.

    Args:
        prediction, label: [H, W].

    Returns:
        [5, classes], in the order of `Area`.
    """
    valid = label != ignored
    prediction = np.where(valid, prediction, ignored)
    width = max(1, round(OUTLINE * hypot(*label.shape)))
    rows = np.empty((len(Area), classes), np.int64)
    rows[Area.INTERSECTION], rows[Area.UNION], rows[Area.LABEL] = _shared(
        prediction[valid], label[valid], np.True_, np.True_, classes
    )
    rows[Area.OUTLINE_INTERSECTION], rows[Area.OUTLINE_UNION], _ = _shared(
        prediction[valid], label[valid], _outline(prediction, width)[valid], _outline(label, width)[valid], classes
    )
    return rows


def _shared(
    prediction: NDArray[np.integer],
    label: NDArray[np.integer],
    in_prediction: NDArray[np.bool_] | np.bool_,
    in_label: NDArray[np.bool_] | np.bool_,
    classes: int,
) -> tuple[Counts, Counts, Counts]:
    """Return intersection, union and label area of the pixels that belong to either map; all [P]."""

    def area(chosen: NDArray[np.bool_] | np.bool_) -> Counts:
        return np.bincount(label[np.broadcast_to(chosen, label.shape)], minlength=classes)

    intersection = area(in_prediction & in_label & (prediction == label))
    predicted = np.bincount(prediction[np.broadcast_to(in_prediction, label.shape)], minlength=classes)
    truth = area(in_label)
    return intersection, predicted + truth - intersection, truth


def _outline(labels: NDArray[np.integer], width: int) -> NDArray[np.bool_]:
    """Return where a square of `width` pixels to each side holds another label, or leaves the image."""
    window = {"size": 2 * width + 1, "mode": "constant", "cval": -1}
    values = labels.astype(np.int32)
    return minimum_filter(values, **window) != maximum_filter(values, **window)
