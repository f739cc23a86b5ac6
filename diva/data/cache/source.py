"""A cache as a source: the same shards in the same order, read by the same streams as the images were."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F
from webdataset.tariterators import base_plus_ext

from diva.data.cache.index import CacheIndex, Kind, M
from diva.data.decode import Crop
from diva.data.raw import FileSlice
from diva.data.shards import ShardPart, ShardSource, statistics_of
from diva.data.tar import Hole, members
from diva.documents import read_json
from diva.errors import BadData, InputError, Missing, RunError
from diva.images import UnusableError, decode_image

PIXELS = {"uint8": "pixels.npy", "jpeg": "pixels.jpg"}
DIGEST = "sha256"  # of a crop's content and pixels as they are stored


@dataclass(frozen=True, slots=True)
class CachedImage:
    """What is cached of one image, and the tower's input, in each of its crops.

    Attributes:
        kind: what is cached.
        key: its name within the cache; the shard's member `NUMBER.key.txt` holds that of the image.
        tar: the shard.
        files: the sample's members by extension, such as `0.latents.npy`.
    """

    kind: ClassVar[Kind]
    key: str
    tar: str
    files: dict[str, FileSlice]

    def load(self) -> bytes:
        """Raise: an image that was cached is no longer encoded."""
        raise UnusableError(f"holds {self.kind.content}, not an image")

    def crop(self, number: int) -> Crop:
        """Return crop `number`, modulo the number of crops.

        Raises:
            RunError: a member is missing or is not what was written.
        """
        raise NotImplementedError

    def read(self, number: int) -> tuple[Tensor, Tensor]:
        """Return pixels [3, H, W] uint8 and what is cached of crop `number`.

        Raises:
            RunError: a member is missing or is not what was written.
        """
        crops = sum(name.endswith(member_of(self.kind)) for name in self.files)
        place = number % max(crops, 1)
        stored, small = self._whole(place)
        packed = f"{place}.{PIXELS['jpeg']}" in self.files
        pixels = F.pil_to_tensor(decode_image(small)) if packed else torch.from_numpy(_array(small))
        return pixels, torch.from_numpy(_array(stored))

    def content(self, place: int) -> Tensor:
        """Return what is cached of crop `place`, without its pixels.

        Raises:
            RunError: a member is missing or is not what was written.
        """
        return torch.from_numpy(_array(self._whole(place)[0]))

    def _whole(self, place: int) -> tuple[bytes, bytes]:
        """Return what is stored of crop `place`: the cached array and the pixels."""
        try:
            stored = self.files[f"{place}.{member_of(self.kind)}"].load()
            packed = self.files.get(f"{place}.{PIXELS['jpeg']}")
            small = (packed or self.files[f"{place}.{PIXELS['uint8']}"]).load()
            written = self.files[f"{place}.{DIGEST}"].load()
        except (UnusableError, KeyError) as error:
            raise _damaged(self.kind, self.tar, f"{self.key}: {error}") from error
        if written != digest(stored, small):
            raise _damaged(self.kind, self.tar, f"{self.key} has changed since it was written")
        return stored, small


@dataclass(frozen=True)
class CachedPart(ShardPart):
    """A shard of a cache."""

    image: ClassVar[type[CachedImage]]

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
                yield self.image(f"{self.name}/{base}", str(self.path), files)
            found += 1
        promised = self._successes()
        if holes or found != promised:
            reason = holes[0].reason if holes else f"{found} of {promised} images were found"
            raise _damaged(self.image.kind, str(self.path), reason)


S = TypeVar("S", bound=ShardSource)


def open_cache(folder: Path, wanted: M, index_type: type[CacheIndex[M]], source_type: type[S]) -> S:
    """Open the cache in `folder` for a run that needs what is `wanted`.

    Raises:
        InputError: there is no cache, it is not complete, or it was made with something else.
    """
    kind, index = index_type.kind, index_type.read(folder)
    index.refuse_stale(wanted, kind.field, folder, kind.remedy)
    missing = [name for name in index.shards if not is_whole(folder / name)]
    if missing:
        raise Missing(
            kind.field,
            folder,
            f"{len(missing)} of {len(index.shards)} shards are missing, {missing[0]} first;"
            f" run '{kind.verb}' again, it continues where it stopped",
        )
    return source_type(str(folder), folder, index.shards)


def is_whole(shard: Path) -> bool:
    """Tell whether a shard is there, with the number of bytes that was written."""
    try:
        statistics = read_json(statistics_of(shard))
    except InputError:
        return False
    return shard.is_file() and isinstance(statistics, dict) and statistics.get("bytes") == shard.stat().st_size


def member_of(kind: Kind) -> str:
    """Return the extension, behind a crop's number, of the member that holds what is cached."""
    return f"{kind.content}.npy"


def digest(content: bytes, pixels: bytes) -> bytes:
    """Return the SHA-256 of what is stored of a crop, in hexadecimal."""
    return hashlib.sha256(content + pixels).hexdigest().encode()


def _array(content: bytes) -> np.ndarray:
    return np.load(io.BytesIO(content), allow_pickle=False)


def _damaged(kind: Kind, tar: str, reason: str) -> RunError:
    return BadData(kind.field, f"{tar} is damaged ({reason}); delete it and run '{kind.verb}' again to rewrite it")
