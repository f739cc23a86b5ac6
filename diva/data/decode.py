"""From encoded bytes to the square crop that is trained on."""

from contextlib import suppress
from typing import NamedTuple

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from diva.data.raw import RawImage
from diva.images import UnusableError, decode_image

RATIO = (3 / 4, 4 / 3)  # of the crop's sides; published


class Crop(NamedTuple):
    """A square crop of one image, and what a cache knows of it.

    Attributes:
        pixels: [3, S, S] uint8; of a cache, at the tower's size.
        latents: [c, h, w] float16, of a latent cache.
        verdicts: [3, A] float32, of a cache of verdicts.
    """

    pixels: Tensor
    latents: Tensor | None = None
    verdicts: Tensor | None = None


def decode(raw: RawImage, min_side: int) -> Image.Image:
    """Return the decoded image in its own colour mode, upright.

    Raises:
        TooSmallError: its shorter side has fewer than `min_side` pixels.
        UnusableError: it cannot be read or decoded, or is cut short.
    """
    image = decode_image(raw.load(), min_side)
    with suppress(Exception):  # damaged EXIF makes its reader raise anything; the pixels are there all the same
        ImageOps.exif_transpose(image, in_place=True)  # a camera held on its side
    return image


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any colour mode to 8-bit RGB; transparency is dropped.

    Raises:
        UnusableError: its pixels are 32-bit numbers, which have no known white.
    """
    if image.mode in ("I", "F"):
        raise UnusableError(f"pixels of mode {image.mode} have no known range")
    if image.mode.startswith("I;16"):
        image = image.point(lambda level: level / 257)  # PIL's own conversion would clip at 255
    elif image.mode == "P":
        image = image.convert("RGBA")  # a palette with transparent entries; PIL warns of the direct way
    return image.convert("RGB")


def random_crop(size: int, scale: tuple[float, float]) -> v2.RandomResizedCrop:
    """Return the published augmentation: a crop of `scale` of the area, resized to `size` × `size`, bicubic."""
    return v2.RandomResizedCrop(
        size, scale=scale, ratio=RATIO, interpolation=v2.InterpolationMode.BICUBIC, antialias=True
    )


def seeded_crop(crop: v2.RandomResizedCrop, rgb: Image.Image, seed: int) -> Tensor:
    """Apply `crop` with the randomness of `seed` alone: [3, S, S] uint8; no global generator is disturbed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every accelerator as well
        return F.pil_to_tensor(crop(rgb))


def to_unit_range(pixels: Tensor) -> Tensor:
    """Map `pixels`, uint8 in 0..255, to float32 in 0..1 on their own device."""
    return pixels.to(torch.float32) / 255
