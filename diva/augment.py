"""Further views of images, for objectives that compare what a tower says about two of them."""

import torch
from torch import Tensor
from torchvision.transforms import v2


def augmented(rgb: Tensor, seeds: Tensor) -> Tensor:
    """Return another view of each image: colour jitter, flips and a crop (DCR, arXiv 2603.04803).

    Args:
        rgb: [B, 3, S, S] in 0..1, on any device.
        seeds: [B] int64; a view depends on its image and its seed alone.

    Returns:
        [B, 3, S, S] in 0..1.
    """
    transform = v2.Compose(
        [
            v2.ColorJitter(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.05),
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
            v2.RandomResizedCrop(rgb.shape[-1], scale=(0.9, 1.0), antialias=True),
        ]
    )
    views = []
    with torch.random.fork_rng(devices=[]):
        for image, seed in zip(rgb, seeds.tolist(), strict=True):
            torch.default_generator.manual_seed(seed)  # torchvision draws on the CPU, whatever the device
            views.append(transform(image))
    return torch.stack(views)
