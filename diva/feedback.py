"""One feedback step: how well does a frozen denoiser denoise an image when the tower describes it?"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from diva.denoisers.base import Denoiser

Objective = Callable[[Tensor, Tensor], Tensor]


class Draws(NamedTuple):
    """Everything random about one step on B images with S noise samples each.

    Attributes:
        timesteps: [S, B] int64.
        noise: [S, B, c, h, w] float32, standard normal.
        choice: [S, B, K] int64, the patches that the condition reads.
    """

    timesteps: Tensor
    noise: Tensor
    choice: Tensor


def feedback(
    student: Callable[[Tensor, Tensor], Tensor],
    denoiser: Denoiser,
    objective: Objective,
    *,
    pixels: Tensor,
    latents: Tensor,
    draws: Draws,
) -> Tensor:
    """Return the loss [S] of each noise sample (DIVA, section 3.2); a pure function of its tensors.

    The tower runs once an image; its S noise samples pass the denoiser as one batch.

    Args:
        student: pixels and choice → context [S * B, M, C], sample-major.
        denoiser: the frozen teacher.
        objective: prediction and target [S, B, c, h, w] → [S].
        pixels: [B, 3, H, W], the tower's input.
        latents: [B, c, h, w] of the same images.
        draws: timesteps, noise and token choice.
    """
    samples, batch = draws.timesteps.shape
    clean = latents.repeat(samples, 1, 1, 1)
    noise, timesteps = draws.noise.flatten(0, 1), draws.timesteps.flatten()
    context = student(pixels, draws.choice)
    prediction = denoiser(denoiser.add_noise(clean, noise, timesteps), timesteps, context)
    target = denoiser.target(clean, noise, timesteps)
    return objective(prediction.unflatten(0, (samples, batch)), target.unflatten(0, (samples, batch)))
