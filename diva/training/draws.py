"""The random numbers of a step, from the run's seed and the images' place in the run alone.

Each image has generators of its own, so a draw depends neither on the batch size nor on which process or device
makes it, and a resumed run needs no generator's state to go on exactly.
"""

from collections.abc import Sequence

import numpy as np
import torch

from diva.condition import Condition
from diva.denoisers import Denoiser
from diva.feedback import Draws
from diva.objectives import Objective

LATENTS = 1  # the purpose of those generators that the sampling of latents draws from


def draw(
    seed: int,
    indices: Sequence[int],
    *,
    samples: int,
    latent_shape: Sequence[int],
    denoiser: Denoiser,
    condition: Condition,
    objective: Objective,
    device: torch.device,
) -> Draws:
    """Draw everything random about one step.

    Args:
        seed: of the run.
        indices: place of each of the B images in the run.
        samples: S, noise samples an image.
        latent_shape: (c, h, w) of one image's latents.
        denoiser: draws the timesteps.
        condition: draws what it needs for each noise sample.
        objective: says how many further views of an image it wants.
        device: where the tensors are wanted; they are drawn on the CPU, so every device sees the same.
    """
    drawn = []
    for generator in generators(seed, indices):
        timesteps = denoiser.draw_timesteps(samples, generator)
        noise = torch.randn(samples, *latent_shape, generator=generator)
        choice = condition.draw(samples, generator)
        views = torch.randint(2**62, (objective.views,), generator=generator)
        drawn.append((timesteps, noise, choice, views))
    return Draws(*(torch.stack(parts, dim=1).to(device, non_blocking=True) for parts in zip(*drawn, strict=True)))


def generators(seed: int, indices: Sequence[int], *purpose: int) -> list[torch.Generator]:
    """Return a generator for each image, on the CPU; another `purpose` gives independent ones."""
    return [torch.Generator().manual_seed(_mix(seed, index, *purpose)) for index in indices]


def _mix(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
