"""Zero-shot classification of images that show several things: the mean average precision of the classes."""

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from diva.evaluation.statistics import SEED
from diva.results import Item
from diva_benchmarks.zero_shot.data import ManyLabels
from diva_benchmarks.zero_shot.measured import ALL, Measured, percentage, quantile_interval

RESAMPLES = 2000
CHUNK = 100  # resamples at once: the memory of CHUNK × images numbers


def rank_classes(embeddings: Tensor, classifier: Tensor, truth: ManyLabels) -> Measured:
    """Score how well each class's text ranks the images that show it.

    Args:
        embeddings: of the images [N, D], before L2 normalisation.
        classifier: one column for each class [D, C], of length 1.

    Returns:
        The mean average precision; its interval comes from resampling the images. Items are the classes that any
        image shows, outcome the average precision.
    """
    scores = (F.normalize(embeddings, dim=-1) @ classifier).numpy()
    shown = np.flatnonzero(truth.labels.any(axis=0))
    scores, labels = scores[:, shown], truth.labels[:, shown]
    precisions = average_precisions(scores, labels, np.ones((1, len(scores))))[0]
    # a resample holds images twice, which raises the average precision by itself: moved back onto the estimate
    draws = _draws(scores, labels)
    draws += precisions.mean() - draws.mean()
    items = [
        Item(id=truth.prompts.classes[index], group=ALL, outcome=precision)
        for index, precision in zip(shown, precisions, strict=True)
    ]
    metric = percentage(precisions.mean(), len(scores), quantile_interval(draws))
    return Measured({"mean_average_precision": metric}, items, draws)


def average_precisions(
    scores: NDArray[np.float32], labels: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the average precision of each class, for each way to weigh the images.

    It is the mean over a class's images of the precision among all images that score as high or higher; nothing
    is interpolated.

    Args:
        scores, labels: [N, C].
        weights: how often each image counts, [R, N].

    Returns:
        [R, C]; nan where no image of a class has a weight.
    """
    found = np.empty((len(weights), scores.shape[1]))
    for number in range(scores.shape[1]):
        order = np.argsort(-scores[:, number], kind="stable")
        ranked, positive = -scores[order, number], labels[order, number]
        last = np.searchsorted(ranked, ranked[positive], side="right") - 1  # images of one score stand together
        weighed = weights[:, order]
        own = weighed[:, positive]
        above, right = weighed.cumsum(1)[:, last], (weighed * positive).cumsum(1)[:, last]
        precision = np.divide(right, above, out=np.zeros_like(above), where=above > 0)
        total = own.sum(1)
        found[:, number] = np.divide(
            (own * precision).sum(1), total, out=np.full(len(weights), np.nan), where=total > 0
        )
    return found


def _draws(scores: NDArray[np.float32], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    random = np.random.default_rng(SEED)
    n = len(scores)
    chunks = [random.multinomial(n, np.full(n, 1 / n), size=CHUNK) for _ in range(RESAMPLES // CHUNK)]
    return np.concatenate(
        [np.nanmean(average_precisions(scores, labels, chunk.astype(np.float64)), axis=1) for chunk in chunks]
    )
