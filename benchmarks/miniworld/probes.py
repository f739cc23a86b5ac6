"""Linear probes: how much of each detail can be read off a tower's tokens by a linear map."""

import torch
import torch.nn.functional as F
from torch import Tensor

PENALTY = 1e-2  # of the ridge, in units of a standardised feature's variance


def probe_accuracies(train: Tensor, labels: Tensor, test: Tensor, wanted: Tensor) -> list[float]:
    """Fit a ridge regression to one-hot labels in closed form; return its accuracies in percent on other items.

    Args:
        train: [n, D] features, labels: [n, K] int64, K details of each item.
        test: [m, D] features, wanted: [m, K] int64.

    Returns:
        K accuracies; the K regressions share one factorisation.
    """
    mean, deviation = train.mean(0), train.std(0).clamp(min=1e-6)
    x, y = ((part - mean) / deviation for part in (train.double(), test.double()))
    one_hot = [F.one_hot(column).double() for column in labels.T]
    targets = torch.cat(one_hot, dim=1)
    centre = targets.mean(0)
    penalty = PENALTY * len(x)
    # the smaller of the two systems; both give the same map
    if x.shape[1] <= len(x):
        gram = x.T @ x + penalty * torch.eye(x.shape[1], dtype=x.dtype)
        weights = torch.linalg.solve(gram, x.T @ (targets - centre))
    else:
        gram = x @ x.T + penalty * torch.eye(len(x), dtype=x.dtype)
        weights = x.T @ torch.linalg.solve(gram, targets - centre)
    scores = (y @ weights + centre).split([part.shape[1] for part in one_hot], dim=1)
    return [
        100 * (score.argmax(1) == column).double().mean().item()
        for score, column in zip(scores, wanted.T, strict=True)
    ]
