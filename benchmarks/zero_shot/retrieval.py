"""Zero-shot retrieval: the captions that are nearest to an image, and the images that are nearest to a caption."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from diva.evaluation.statistics import mean_interval
from diva.results import Item
from diva_benchmarks.zero_shot.data import Captions
from diva_benchmarks.zero_shot.measured import ALL, Measured, percentage

DEPTHS = (1, 5, 10)
CHUNK = 256  # queries at once


def retrieve(images: Tensor, texts: Tensor, truth: Captions, ids: Sequence[str]) -> Measured:
    """Score retrieval both ways.

    Args:
        images: embeddings [N, D]; texts: of all captions [M, D], image by image; both before L2 normalisation.

    Returns:
        `text_retrieval_recall@k`, the share of images with one of their captions among the k nearest;
        `image_retrieval_recall@k`, the share of captions with their image among the k nearest; and `mean_recall`,
        the mean of the six. Every interval comes from resampling images, with all their captions. Items are
        images: the outcome is the image's own share of the mean recall, which exceeds 1 a little for an image that
        has more captions than others and is found by them all.
    """
    images, texts = F.normalize(images, dim=-1), F.normalize(texts, dim=-1)
    own = torch.arange(len(images))
    owner = torch.tensor([image for image, captions in enumerate(truth.captions) for _ in captions])
    to_text, to_image = best_ranks(images, texts, own, owner), best_ranks(texts, images, owner, own)
    shares: dict[str, NDArray[np.float64]] = {}
    for depth in DEPTHS:
        shares[f"text_retrieval_recall@{depth}"] = (to_text < depth).astype(np.float64)
    for depth in DEPTHS:
        found = np.bincount(owner.numpy(), weights=to_image < depth, minlength=len(images))
        shares[f"image_retrieval_recall@{depth}"] = found * len(images) / len(texts)
    outcomes = np.mean(list(shares.values()), axis=0)
    metrics = {"mean_recall": percentage(outcomes.mean(), len(images), mean_interval(outcomes))}
    for name, share in shares.items():
        n = len(texts) if name.startswith("image") else len(images)
        metrics[name] = percentage(share.mean(), n, mean_interval(share))
    items = [
        Item(id=id_, group=ALL, outcome=outcome, details={"caption": captions[0]})
        for id_, outcome, captions in zip(ids, outcomes, truth.captions, strict=True)
    ]
    return Measured(metrics, items)


def best_ranks(queries: Tensor, gallery: Tensor, query_owner: Tensor, gallery_owner: Tensor) -> NDArray[np.int64]:
    """Return how many wrong candidates stand before the first right one, for each query.

    A wrong candidate that is as near as the right one stands before it: a tower that gives every image the same
    embedding finds nothing.

    Args:
        queries: [Q, D]; gallery: [G, D].
        query_owner: [Q] and gallery_owner: [G], which image each belongs to.
    """
    found = []
    for start in range(0, len(queries), CHUNK):
        chunk = slice(start, start + CHUNK)
        similarities = queries[chunk] @ gallery.T
        right = query_owner[chunk, None] == gallery_owner
        best = similarities.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
        found.append(((similarities >= best) & ~right).sum(1))
    return torch.cat(found).numpy()
