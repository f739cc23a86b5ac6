"""One feedback step: how well does a denoiser denoise an image when the tower describes it?"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from diva.denoisers.base import Context, Denoiser
from diva.objectives import Objective, ObjectiveInputs


class Draws(NamedTuple):
    """Everything random about one step on B images with S noise samples each.

    Attributes:
        timesteps: [S, B], in the denoiser's unit.
        noise: [S, B, c, h, w] float32, standard normal.
        condition: [S, B, K], what the condition drew.
        posterior: [B, c, h, w] standard normal, where the clean latents are samples; elsewhere [B, 0].
        views: [V, B] int64, the seeds of the further views that the objective asks for.
    """

    timesteps: Tensor
    noise: Tensor
    condition: Tensor
    posterior: Tensor
    views: Tensor


class StudentOutput(NamedTuple):
    """What a student says about B images with S noise samples each.

    Attributes:
        context: of batch S * B, sample-major.
        pooled: [B, D], the tower's image embeddings.
    """

    context: Context
    pooled: Tensor


def feedback(
    student: Callable[[Tensor, Tensor], StudentOutput],
    denoiser: Denoiser,
    objective: Objective,
    *,
    pixels: Tensor,
    latents: Tensor,
    draws: Draws,
    verdicts: Tensor | None = None,
) -> Tensor:
    """Return the loss [S] of each noise sample (DIVA, section 3.2); a pure function of its tensors.

    The tower runs once an image and view; the noise samples of an image pass the denoiser as one batch.

    Args:
        student: pixels and the condition's draws → what it says about them.
        denoiser: the teacher.
        objective: what is asked of the denoiser, and how its answer becomes a loss.
        pixels: [(1 + V) * B, 3, H, W], the tower's input: the images, then V further views of them all.
        latents: [B, c, h, w] of the same images.
        draws: timesteps, noise and the condition's own draws; V of its seeds.
        verdicts: [B, 3, A] on the same images, where they are known.
    """
    samples, batch = draws.timesteps.shape
    views = 1 + len(draws.views)
    output = student(pixels, draws.condition.repeat(1, views, 1))
    own, *further = output.context.by_view(samples, views)
    clean = latents.repeat(samples, 1, 1, 1)
    noise, timesteps = draws.noise.flatten(0, 1), draws.timesteps.flatten()
    return objective(
        denoiser,
        ObjectiveInputs(
            samples=samples,
            pixels=pixels[:batch],
            pooled=output.pooled[:batch],
            latents=clean,
            noise=noise,
            noisy=denoiser.add_noise(clean, noise, timesteps),
            timesteps=timesteps,
            context=own,
            views=tuple(further),
            verdicts=verdicts,
        ),
    )
