"""Pictures that cost a decoder what photographs do, where no real ones are at hand."""

import io
import os
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image
from webdataset import TarWriter

SHARDS_WRITTEN = 4  # the others are the same files under other names


def write_pictures(folder: Path, *, shards: int, images: int, size: int, seed: int = 0) -> str:
    """Write `shards` tars of `images` JPEG pictures, `size` pixels on the shorter side; return their pattern."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for shard in range(shards):
        path = folder / f"{shard:05d}.tar"
        if shard >= SHARDS_WRITTEN:
            os.link(folder / f"{shard % SHARDS_WRITTEN:05d}.tar", path)
            continue
        with path.open("wb") as file, TarWriter(file) as tar:
            for number in range(images):
                tar.write({"__key__": f"{shard:05d}{number:04d}", "jpg": _picture(rng, size)})
    return f"{folder}/{{00000..{shards - 1:05d}}}.tar"


def _picture(rng: Generator, size: int) -> bytes:
    """Return a JPEG whose detail falls off with its fineness, as a photograph's does; about 0.2 bytes a pixel."""
    width = int(size * rng.uniform(1.0, 1.5))
    total = np.zeros((size, width, 3))
    for cells in (3, 12, 48, 192):
        field = rng.normal(size=(cells, cells, 3)) / cells**0.8
        layers = [
            Image.fromarray(field[..., channel]).resize((width, size), Image.Resampling.BICUBIC)
            for channel in range(3)
        ]
        total += np.stack([np.asarray(layer) for layer in layers], axis=-1)
    buffer = io.BytesIO()
    levels = np.clip(128 + 90 * total, 0, 255).astype(np.uint8)
    Image.fromarray(levels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()
