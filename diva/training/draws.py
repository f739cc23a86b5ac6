"""The random numbers of a step, from the run's seed and the images' place in the run alone.

Each image has a generator of its own, so a draw depends neither on the batch size nor on which process or device
makes it, and a resumed run needs no generator's state to go on exactly.
"""

from collections.abc import Sequence

import numpy as np
import torch

from diva.condition import DenseRecapCondition
from diva.feedback import Draws


def draw(
    seed: int,
    indices: Sequence[int],
    *,
    samples: int,
    timesteps: tuple[int, int],
    latent_shape: Sequence[int],
    condition: DenseRecapCondition,
    device: torch.device,
) -> Draws:
    """Draw timesteps (uniform), noise (standard normal) and token choice of `samples` noise samples an image.

    Args:
        seed: of the run.
        indices: place of each of the B images in the run.
        samples: S, noise samples an image.
        timesteps: drawn from [first, last).
        latent_shape: (c, h, w) of one image's latents.
        condition: says which patches it wants.
        device: where the tensors are wanted; they are drawn on the CPU, so every device sees the same.
    """
    drawn = []
    for index in indices:
        generator = torch.Generator().manual_seed(_mix(seed, index))
        t = torch.randint(*timesteps, (samples,), generator=generator)
        noise = torch.randn(samples, *latent_shape, generator=generator)
        drawn.append((t, noise, condition.draw(samples, generator)))
    return Draws(*(torch.stack(parts, dim=1).to(device, non_blocking=True) for parts in zip(*drawn, strict=True)))


def _mix(seed: int, index: int) -> int:
    return int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0] >> np.uint64(1))
