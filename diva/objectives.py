"""Losses: prediction and target of S noise samples of B images → one scalar a noise sample."""

from torch import Tensor


def mean_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """The denoising loss (DDPM, equation 14; DIVA, equation 4) of each noise sample.

    Args:
        prediction, target: [S, B, C, H, W].

    Returns:
        [S], the mean over images, channels and positions.
    """
    return (prediction - target).square().flatten(1).mean(dim=1)
