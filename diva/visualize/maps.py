"""Patch tokens of two towers as colours."""

from typing import NamedTuple

import torch
from torch import Tensor


class Maps(NamedTuple):
    """Colours of every patch.

    Attributes:
        before, after: [B, N, 3] in 0..1.
        explained: share of the variance of both towers' tokens that the three directions hold.
    """

    before: Tensor
    after: Tensor
    explained: float


def token_maps(before: Tensor, after: Tensor) -> Maps:
    """Colour patch tokens [B, N, D] by the three principal directions of both towers' tokens together.

    One basis and one range serve both, so that equal colours are equal tokens. The range of each channel is that
    from the 1st to the 99th percentile; a direction's sign is such that its largest entry is positive.
    """
    tokens = torch.stack([before, after]).float()
    centred = tokens.flatten(0, 2) - tokens.mean((0, 1, 2))
    _, deviations, directions = torch.linalg.svd(centred, full_matrices=False)
    basis = directions[:3]
    largest = basis.gather(1, basis.abs().argmax(1, keepdim=True))
    projected = centred @ (basis * largest.sign()).T
    low, high = (projected.quantile(share, dim=0) for share in (0.01, 0.99))
    colours = ((projected - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
    first, second = colours.unflatten(0, tokens.shape[:3])
    variances = deviations.square()
    return Maps(first, second, float(variances[:3].sum() / variances.sum()))
