"""The random numbers of a step, from the run's seed and the images' place in the run alone.

Each image has generators of its own, so a draw depends neither on the batch size nor on which process or device
makes it, and a resumed run needs no generator's state to go on exactly. Dropout alone cannot be drawn by image: it
is seeded anew for every micro-batch.
"""

from collections.abc import Sequence

import numpy as np
import torch

from diva.condition import Condition
from diva.denoisers import Denoiser
from diva.feedback import Draws
from diva.objectives import Objective

# purposes of further numbers: the sampling of latents, and dropout
LATENTS, DROPOUT = 1, 2


def draw(
    seed: int,
    indices: Sequence[int],
    *,
    samples: int,
    side: int,
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
        side: of an image, in pixels.
        denoiser: draws the timesteps, and what a sample of an image's latents needs.
        condition: draws what it needs for each noise sample.
        objective: says how many further views of an image it wants.
        device: where the tensors are wanted; they are drawn on the CPU, so every device sees the same.
    """
    shape = denoiser.latent_shape(side)
    drawn = []
    for index in indices:
        generator = _generator(seed, index)
        timesteps = denoiser.draw_timesteps(samples, generator)
        noise = torch.randn(samples, *shape, generator=generator)
        choice = condition.draw(samples, generator)
        views = torch.randint(2**62, (objective.views,), generator=generator)
        posterior = denoiser.draw_posterior(side, _generator(seed, index, LATENTS))
        drawn.append((timesteps, noise, choice, posterior, views))
    by_part = zip(Draws._fields, zip(*drawn, strict=True), strict=True)
    # what the posterior needs has no samples before its images
    stacked = (torch.stack(parts, dim=0 if name == "posterior" else 1) for name, parts in by_part)
    return Draws(*(part.to(device, non_blocking=True) for part in stacked))


def seed_dropout(seed: int, indices: Sequence[int]) -> None:
    """Seed what dropout draws in the next forward pass, of the images `indices`: PyTorch's own generators."""
    torch.manual_seed(_mix(seed, indices[0], DROPOUT))


def _generator(*numbers: int) -> torch.Generator:
    return torch.Generator().manual_seed(_mix(*numbers))


def _mix(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
