"""Pictures from files and tensors, and into files."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from diva.atomic import replacing
from diva.errors import Damaged
from diva.images import UnusableError, read_image
from diva.towers import TowerInput

HEIGHT = 224  # of a picture, in pixels


def open_image(file: Path) -> Image.Image:
    """Decode an image to RGB.

    Raises:
        InputError: it cannot be decoded.
    """
    try:
        return read_image(file).convert("RGB")
    except UnusableError as error:
        raise Damaged(file, f"cannot be decoded ({error}); fetch the image again") from error


def seen_image(pixels: Tensor, tower_input: TowerInput) -> Image.Image:
    """Return what a tower sees, its normalised input `pixels` [3, H, W], as a picture."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (tower_input.mean, tower_input.std))
    return rgb_image((pixels * std + mean).clamp(0, 1))


def patch_image(colours: Tensor, size: tuple[int, int]) -> Image.Image:
    """Return the colours [N, 3] in 0..1 of an image's N patches as a picture of one pixel each.

    Args:
        size: (height, width) of the tower's input, of which the patches are squares.
    """
    height, width = size
    rows = round((len(colours) * height / width) ** 0.5)
    return rgb_image(colours.unflatten(0, (rows, -1)).permute(2, 0, 1))


def rgb_image(rgb: Tensor) -> Image.Image:
    """Return `rgb` [3, H, W] in 0..1 as a picture."""
    return Image.fromarray((rgb * 255).round().byte().permute(1, 2, 0).numpy())


def save(image: Image.Image, folder: Path, name: str) -> str:
    """Write `image` as a PNG of `HEIGHT` pixels in height, and return the file's name.

    A picture of few pixels, patches say, is enlarged a whole number of times, to squares of one colour, and so may
    be less high.

    Raises:
        RunError: the folder cannot be written to.
    """
    if image.height < HEIGHT // 4:
        scaled = image.resize([side * (HEIGHT // image.height) for side in image.size], Image.Resampling.NEAREST)
    else:
        scaled = image.resize((round(HEIGHT * image.width / image.height), HEIGHT), Image.Resampling.BICUBIC)
    with replacing(folder / f"{name}.png") as temporary:
        scaled.save(temporary, format="PNG")
    return f"{name}.png"
