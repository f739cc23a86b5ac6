"""A cache as a source: the same shards in the same order, read by the same streams as the images were."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F
from webdataset.tariterators import base_plus_ext

from diva.data.latents.index import CacheIndex, Wanted, refuse_stale
from diva.data.raw import FileSlice, UnusableError
from diva.data.shards import ShardPart, ShardSource, members
from diva.errors import InputError

LATENTS, PIXELS = "latents.npy", {"uint8": "pixels.npy", "jpeg": "pixels.jpg"}


@dataclass(frozen=True, slots=True)
class CachedImage:
    """The latents and the tower's input of one image, in each of its crops.

    Attributes:
        key: its name within the cache; the shard's member `NUMBER.key.txt` holds that of the image.
        files: the sample's members by extension, such as `0.latents.npy`.
    """

    key: str
    files: dict[str, FileSlice]

    def load(self) -> bytes:
        """Raise: an image that was cached is no longer encoded."""
        raise UnusableError("holds latents, not an image")

    def crop(self, number: int) -> tuple[Tensor, Tensor]:
        """Return crop `number`, modulo the number of crops: pixels [3, H, W] uint8 and latents [c, h, w] float16.

        Raises:
            UnusableError: a member is missing or damaged.
        """
        crops = sum(name.endswith(LATENTS) for name in self.files)
        try:
            place = number % crops
            latents = torch.from_numpy(_array(self.files[f"{place}.{LATENTS}"]))
            if encoded := self.files.get(f"{place}.{PIXELS['jpeg']}"):
                pixels = F.pil_to_tensor(Image.open(io.BytesIO(encoded.load())))
            else:
                pixels = torch.from_numpy(_array(self.files[f"{place}.{PIXELS['uint8']}"]))
        except (OSError, ValueError, KeyError, ZeroDivisionError, EOFError) as error:
            raise UnusableError(f"the cached sample is damaged: {error}") from error
        return pixels, latents


@dataclass(frozen=True)
class CachedPart(ShardPart):
    """A shard of a cache."""

    def _images(self) -> Iterator[CachedImage]:
        for base, files in groupby(members(self.path), lambda file: base_plus_ext(file.key)[0]):
            yield CachedImage(f"{self.name}/{base}", {base_plus_ext(file.key)[1]: file for file in files})


@dataclass(frozen=True)
class LatentSource(ShardSource):
    """The shards of a cache."""

    kind = "latents"
    part: ClassVar[type[ShardPart]] = CachedPart


def open_latents(folder: Path, wanted: Wanted) -> LatentSource:
    """Open the cache in `folder` for a run that needs what is `wanted`.

    Raises:
        InputError: there is no cache, it is not complete, or it was made with something else.
    """
    index = CacheIndex.read(folder)
    refuse_stale(f"data.latents: {folder}", index.made, wanted)
    missing = [name for name in index.shards if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"data.latents: {folder} lacks {len(missing)} of {len(index.shards)} shards, {missing[0]} first;"
            " run 'diva data cache-latents' again, it goes on where it stopped"
        )
    return LatentSource(str(folder), folder, index.shards)


def _array(file: FileSlice) -> np.ndarray:
    return np.load(io.BytesIO(file.load()), allow_pickle=False)
