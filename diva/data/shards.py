"""Tar shards in webdataset's layout, as img2dataset writes them.

A shard is walked header by header and its images are read where they lie, so that skipping (for a resumed run,
or for the images of another stream) costs no reading, and a shuffle buffer holds places instead of images.
webdataset's own iterator reads every byte of every member, and takes a broken header for the end of the archive
without a word; here both a broken and a missing end are damage that is reported.
"""

import json
import math
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import ClassVar

from webdataset.tariterators import base_plus_ext

from diva.data.raw import Damage, FileSlice, RawImage
from diva.data.source import EXTENSIONS, Source
from diva.errors import InputError


@dataclass(frozen=True)
class ShardPart:
    """Every `parts`-th image of a tar, from number `part` on.

    Attributes:
        path: the tar.
        name: its name within the source.
    """

    path: Path
    name: str
    part: int = 0
    parts: int = 1

    def __iter__(self) -> Iterator[RawImage]:
        """Yield the images in the tar's order; one `Damage` follows the last one of a damaged tar."""
        try:
            yield from islice(self._images(), self.part, None, self.parts)
        except (tarfile.TarError, OSError, ValueError) as error:
            if self.part == 0:  # reported once, however many streams share the tar
                yield Damage(self.name, f"the tar is damaged: {error}")

    def __len__(self) -> int:
        """Return the number of images: img2dataset's count of them, or else that of the tar's members."""
        statistics = self.path.with_name(f"{self.path.stem}_stats.json")
        if not statistics.is_file():
            return sum(not isinstance(image, Damage) for image in self)
        try:
            images = int(json.loads(statistics.read_bytes())["successes"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{statistics}: has no count 'successes'; delete it or restore it") from error
        return len(range(self.part, images, self.parts))

    def _images(self) -> Iterator[RawImage]:
        for file in members(self.path):
            if (base_plus_ext(file.key)[1] or "").lower() in EXTENSIONS:
                yield replace(file, key=f"{self.name}/{file.key}")


def members(path: Path) -> Iterator[FileSlice]:
    """Yield the files in the tar `path` under their names in it, in its order.

    Raises:
        tarfile.TarError, OSError, ValueError: it cannot be read on.
    """
    with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
        end = os.fstat(file.fileno()).st_size
        while member := tar.next():
            # tarfile keeps every member that it met; shards have tens of thousands
            tar.members = []  # type: ignore[attr-defined]
            if not member.isreg():
                continue
            if member.offset_data + member.size > end:
                raise tarfile.ReadError(f"it ends within {member.name}")
            yield FileSlice(member.name, str(path), member.offset_data, member.size)
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError(f"no header and no end mark at byte {tar.offset}")


@dataclass(frozen=True)
class ShardSource(Source):
    """Tars. With fewer of them than streams, several streams share a tar, image by image.

    Attributes:
        part: what reads a tar, or a part of one.
    """

    kind = "shards"
    part: ClassVar[type[ShardPart]] = ShardPart

    def units(self, stream: int, streams: int) -> Sequence[ShardPart]:
        """Return every `streams`-th tar (or part of one) from number `stream` on."""
        parts = math.ceil(streams / len(self.names))
        numbers = range(stream, len(self.names) * parts, streams)
        places = [(self.names[number // parts], number % parts) for number in numbers]
        return [self.part(self.root / name, name, part, parts) for name, part in places]
