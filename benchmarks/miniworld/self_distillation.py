"""A control without a teacher: the tower says of an augmented picture what it said of the picture itself."""

import copy
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity
from torchvision.transforms import v2

from diva.miniworld.render import render
from diva.miniworld.scene import Scenes
from diva.towers import Clip
from diva_benchmarks.miniworld.fit import Schedule, fit

KEY = 16
CROP_SCALE = (0.8, 1.0)  # share of the area that is kept
JITTER = 0.2  # of brightness, contrast and saturation


def self_distil(clip: Clip, scenes: Scenes, schedule: Schedule, *, seed: int, folder: Path) -> None:
    """Train `clip`'s tower in place, on images alone.

    The loss is 1 - cosine between the tower's pooled embedding of an augmented picture and the original tower's of
    the picture itself.

    Args:
        clip: on the CPU.
        scenes: N of them; each step takes some at random.
        schedule: steps, batch and learning rate.
        seed: of order and augmentation.
        folder: of the checkpoint from which a killed run goes on.

    Raises:
        RunError: the loss is no longer finite.
    """
    original = copy.deepcopy(clip.tower).requires_grad_(False)
    augment = v2.Compose(
        [
            v2.RandomResizedCrop(render(scenes.take(slice(1))).rgb.shape[-1], scale=CROP_SCALE, antialias=True),
            v2.ColorJitter(brightness=JITTER, contrast=JITTER, saturation=JITTER),
        ]
    )

    def loss(random: torch.Generator) -> Tensor:
        chosen = torch.randint(scenes.number, (schedule.batch,), generator=random)
        rgb = render(scenes.take(chosen)).rgb
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**31, (), generator=random)))
            views = torch.stack([augment(image) for image in rgb])
        with torch.no_grad():
            wanted = original(clip.input.from_rgb(rgb)).pooled
        return (1 - cosine_similarity(clip.tower(clip.input.from_rgb(views)).pooled, wanted)).mean()

    fit(
        clip.tower,
        loss,
        schedule,
        key=(seed, KEY),
        checkpoint=folder / "self-distillation.pt",
        title="self-distillation",
    )
