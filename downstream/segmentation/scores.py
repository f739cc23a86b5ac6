"""From counted pixels to the scores of a data set, and how far they would move with other images."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diva.evaluation.statistics import CONFIDENCE, SEED, Interval
from diva_downstream.segmentation.areas import Area, Counts

RESAMPLES = 2_000  # each adds up every class of every image again
TOGETHER = 100  # resamples whose sums are held at once

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Scores in percent; every field has the same leading shape, one entry a set of images.

    A class that occurs neither in the predictions nor in the truth has no IoU and is left out of the means, as in
    mmsegmentation.

    Attributes:
        mean_iou, mean_boundary_iou: means over the classes of IoU and boundary IoU.
        mean_accuracy: mean over the classes of the share of their pixels that was found.
        pixel_accuracy: share of all pixels.
        iou: [..., classes], NaN where a class does not occur.
    """

    mean_iou: Values
    mean_boundary_iou: Values
    mean_accuracy: Values
    pixel_accuracy: Values
    iou: Values


def scores_of(areas: NDArray[np.number]) -> Scores:
    """Return the scores of `areas` [..., 5, classes], summed over images."""

    def area(row: Area) -> Values:
        return areas[..., row, :].astype(np.float64)

    shared, label = area(Area.INTERSECTION), area(Area.LABEL)
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        iou = shared / area(Area.UNION)
        return Scores(
            mean_iou=100 * np.nanmean(iou, -1),
            mean_boundary_iou=100 * np.nanmean(area(Area.OUTLINE_INTERSECTION) / area(Area.OUTLINE_UNION), -1),
            mean_accuracy=100 * np.nanmean(shared / label, -1),
            pixel_accuracy=100 * shared.sum(-1) / label.sum(-1),
            iou=100 * iou,
        )


def resampled_scores(images: Counts) -> Scores:
    """Return the scores of `RESAMPLES` bootstrap samples of `images` [N, 5, classes].

    The draws depend on N alone: samples of two towers on the same images pair up, and the quantiles of their
    differences are a paired interval.
    """
    parts = [scores_of(sums) for sums in _sums(images)]
    return Scores(*(np.concatenate([getattr(part, name) for part in parts]) for name in Scores.__annotations__))


def interval(samples: Values) -> Interval | None:
    """Return the 95 % percentile interval of `samples`; none where a sample has no value."""
    if not np.isfinite(samples).all():
        return None
    low, high = np.quantile(samples, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _sums(images: Counts) -> Iterator[NDArray[np.float64]]:
    random = np.random.default_rng(SEED)
    number, flat = len(images), images.reshape(len(images), -1).astype(np.float64)
    for _ in range(RESAMPLES // TOGETHER):
        drawn = random.multinomial(number, np.full(number, 1 / number), size=TOGETHER)
        yield (drawn @ flat).reshape(TOGETHER, *images.shape[1:])
