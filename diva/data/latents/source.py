"""A cache as a source: the same shards in the same order, read by the same streams as the images were."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F
from webdataset.tariterators import base_plus_ext

from diva.data.latents.index import CacheIndex, Wanted, refuse_stale
from diva.data.raw import FileSlice
from diva.data.shards import ShardPart, ShardSource, statistics_of
from diva.data.tar import Hole, members
from diva.documents import read_json
from diva.errors import InputError, RunError
from diva.images import UnusableError, decode_image

LATENTS, PIXELS = "latents.npy", {"uint8": "pixels.npy", "jpeg": "pixels.jpg"}
DIGEST = "sha256"  # of a crop's latents and pixels as they are stored


@dataclass(frozen=True, slots=True)
class CachedImage:
    """The latents and the tower's input of one image, in each of its crops.

    Attributes:
        key: its name within the cache; the shard's member `NUMBER.key.txt` holds that of the image.
        tar: the shard.
        files: the sample's members by extension, such as `0.latents.npy`.
    """

    key: str
    tar: str
    files: dict[str, FileSlice]

    def load(self) -> bytes:
        """Raise: an image that was cached is no longer encoded."""
        raise UnusableError("holds latents, not an image")

    def crop(self, number: int) -> tuple[Tensor, Tensor]:
        """Return crop `number`, modulo the number of crops: pixels [3, H, W] uint8 and latents [c, h, w] float16.

        Raises:
            RunError: a member is missing or is not what was written.
        """
        crops = sum(name.endswith(LATENTS) for name in self.files)
        try:
            place = number % crops
            stored = self.files[f"{place}.{LATENTS}"].load()
            packed = self.files.get(f"{place}.{PIXELS['jpeg']}")
            small = (packed or self.files[f"{place}.{PIXELS['uint8']}"]).load()
            written = self.files[f"{place}.{DIGEST}"].load()
        except (UnusableError, KeyError, ZeroDivisionError) as error:
            raise _damaged(self.tar, f"{self.key}: {error}") from error
        if written != digest(stored, small):
            raise _damaged(self.tar, f"{self.key} is not what was written")
        pixels = F.pil_to_tensor(decode_image(small)) if packed else torch.from_numpy(_array(small))
        return pixels, torch.from_numpy(_array(stored))


@dataclass(frozen=True)
class CachedPart(ShardPart):
    """A shard of a cache."""

    def __iter__(self) -> Iterator[CachedImage]:
        """Yield the images in the shard's order.

        Raises:
            RunError: the shard is damaged, or images are missing.
        """
        holes: list[Hole] = []
        found = 0
        for base, group in groupby(members(self.path, holes), lambda member: base_plus_ext(member.name)[0]):
            if found % self.parts == self.part:
                files = {
                    base_plus_ext(each.name)[1]: FileSlice(each.name, str(self.path), each.offset_data, each.size)
                    for each in group
                }
                yield CachedImage(f"{self.name}/{base}", str(self.path), files)
            found += 1
        promised = self._successes()
        if holes or found != promised:
            raise _damaged(str(self.path), holes[0].reason if holes else f"{found} of {promised} images are there")


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
    missing = [name for name in index.shards if not is_whole(folder / name)]
    if missing:
        raise InputError(
            f"data.latents: {folder} lacks {len(missing)} of {len(index.shards)} shards, {missing[0]} first;"
            " run 'diva data cache-latents' again, it continues where it stopped"
        )
    return LatentSource(str(folder), folder, index.shards)


def is_whole(shard: Path) -> bool:
    """Tell whether a shard is there, with the number of bytes that was written."""
    try:
        statistics = read_json(statistics_of(shard))
    except InputError:
        return False
    return shard.is_file() and isinstance(statistics, dict) and statistics.get("bytes") == shard.stat().st_size


def digest(latents: bytes, pixels: bytes) -> bytes:
    """Return the SHA-256 of what is stored of a crop, in hexadecimal."""
    return hashlib.sha256(latents + pixels).hexdigest().encode()


def _array(content: bytes) -> np.ndarray:
    return np.load(io.BytesIO(content), allow_pickle=False)


def _damaged(tar: str, reason: str) -> RunError:
    return RunError(
        f"data.latents: {tar} is damaged ({reason}); delete it and run 'diva data cache-latents' again,"
        " which writes it anew"
    )
