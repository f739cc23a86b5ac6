"""Scenes as image files: rendered in batches, encoded so that 48 pixels a side survive JPEG."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from diva.miniworld.render import render
from diva.miniworld.scene import Scenes

CHUNK = 256
QUALITY = 95


def jpegs(scenes: Scenes) -> Iterator[bytes]:
    """Yield each scene as a JPEG of quality 95 without chroma subsampling."""
    for picture, _ in _images(scenes):
        yield _jpeg(picture)


def write_segmented(scenes: Scenes, images: Path, masks: Path, names: list[str]) -> None:
    """Write `images/NAME.jpg` and `masks/NAME.png` for each scene.

    A mask is a single-channel PNG of class numbers from 1; 0, which both segmentation layouts take for
    "unlabelled", does not occur, since a scene's mask is complete.
    """
    images.mkdir(parents=True)
    masks.mkdir(parents=True)
    for name, (picture, mask) in zip(names, _images(scenes), strict=True):
        (images / f"{name}.jpg").write_bytes(_jpeg(picture))
        Image.fromarray(mask + 1).save(masks / f"{name}.png")


def _images(scenes: Scenes) -> Iterator[tuple[Image.Image, np.ndarray]]:
    for start in range(0, scenes.number, CHUNK):
        rgb, mask = render(scenes.take(slice(start, start + CHUNK)))
        arrays = (rgb * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        for array, classes in zip(arrays, mask.byte().cpu().numpy(), strict=True):
            yield Image.fromarray(array), classes


def _jpeg(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()
