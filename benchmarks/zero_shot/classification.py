"""Zero-shot classification: the class whose text is nearest to the image."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from diva.evaluation.statistics import macro_mean, mean_interval, wilson_interval
from diva.results import Item
from diva_benchmarks.zero_shot.data import OneLabel
from diva_benchmarks.zero_shot.measured import ALL, Measured, percentage
from diva_benchmarks.zero_shot.sets import Headline

TOP = 5


def classify(
    embeddings: Tensor, classifier: Tensor, truth: OneLabel, ids: Sequence[str], headline: Headline
) -> Measured:
    """Score images by their cosine with each class.

    Args:
        embeddings: of the images [N, D], before L2 normalisation.
        classifier: one column for each class [D, C], of length 1.
        headline: "acc1", the share of images that are right, or "mean_per_class_recall", the mean over the
            classes that have images of that share. It decides how the items are grouped.

    Returns:
        Both headlines and, with more than five classes, `acc5`. The shares have Wilson's interval, the mean over
        the classes the stratified bootstrap's. Items are images, outcome 1 or 0.
    """
    # as open_clip's own evaluation has it, scale included, so that not even a rounding differs
    logits = 100.0 * F.normalize(embeddings, dim=-1) @ classifier
    best = logits.topk(min(TOP, logits.shape[1]), dim=1).indices.numpy()
    hits = best == truth.labels[:, None]
    right, n = hits[:, 0].astype(np.float64), len(hits)
    classes = _distinct(truth.prompts.classes)
    groups = [classes[label] for label in truth.labels]
    metrics = {
        "acc1": percentage(right.mean(), n, wilson_interval(right.mean(), n)),
        "mean_per_class_recall": percentage(macro_mean(right, groups), n, mean_interval(right, groups)),
    }
    if len(classes) > TOP:
        among = hits.any(axis=1).mean()
        metrics["acc5"] = percentage(among, n, wilson_interval(among, n))
    items = [
        Item(
            id=id_,
            group=group if headline == "mean_per_class_recall" else ALL,
            outcome=outcome,
            details={"class": group, "predicted": classes[guess]},
        )
        for id_, group, outcome, guess in zip(ids, groups, right, best[:, 0], strict=True)
    ]
    return Measured({headline: metrics[headline]} | metrics, items)


def _distinct(classes: Sequence[str]) -> list[str]:
    """Tell classes of one name apart; ImageNet has two called "missile" and two called "sunglasses"."""
    counts = Counter(classes)
    return [f"{name} ({label})" if counts[name] > 1 else name for label, name in enumerate(classes)]
