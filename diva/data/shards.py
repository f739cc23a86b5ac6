"""Tar shards in webdataset's layout, as img2dataset writes them.

Images are read where they lie in a tar, so that a shuffle buffer holds places instead of images.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from tarfile import TarInfo
from typing import ClassVar

from webdataset.tariterators import base_plus_ext

from diva.data.raw import FileSlice, Loss, RawImage
from diva.data.source import Source, listed
from diva.data.tar import Hole, members
from diva.documents import read_json
from diva.errors import InputError, Missing
from diva.images import OTHER_SUFFIXES, SUFFIXES, suffix_of


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
        """Yield the images in the tar's order; a `Loss` behind the last one says what is not read, and why."""
        found, holes, left_out = 0, list[Hole](), Counter[str]()
        try:
            for found, image in enumerate(self._images(holes, left_out), 1):
                if (found - 1) % self.parts == self.part:
                    yield image
        except (InputError, OSError) as error:
            holes.append(Hole(str(error), 0, None))
        if self.part == 0:  # said once, however many streams share the tar
            try:
                yield from self._losses(found, holes, left_out)
            except InputError as error:  # of the statistics
                yield Loss(self.name, str(error), 0)

    def __len__(self) -> int:
        """Return the number of images: img2dataset's count of them, or else that of the tar's members.

        Raises:
            InputError: the statistics are not img2dataset's.
        """
        images = self._successes()
        if images is None:
            return sum(not isinstance(image, Loss) for image in self)
        return len(range(self.part, images, self.parts))

    def _images(self, holes: list[Hole], left_out: Counter[str]) -> Iterator[RawImage]:
        for _, group in groupby(members(self.path, holes), lambda member: base_plus_ext(member.name)[0]):
            for member in pictures(group, left_out):
                yield FileSlice(f"{self.name}/{member.name}", str(self.path), member.offset_data, member.size)

    def _losses(self, found: int, holes: Sequence[Hole], left_out: Counter[str]) -> Iterator[Loss]:
        told = []
        if holes:
            told.append(f"the tar is damaged: {holes[0].reason}")
            if holes[1:]:
                told.append(f"{len(holes) - 1} more places are damaged")
        lost, promised = 0, self._successes()
        if promised is not None and found < promised:
            lost = promised - found
            told.append(f"{found:,} of the {promised:,} images in its statistics were found")
        elif promised is None and holes:
            lost = self._estimate(holes)
            told.append(f"lost images: about {lost:,}")
        if not found and not told:
            told.append("contains no image")
        if left_out:
            told.append(f"left out: {listed(left_out)}")
        if told:
            yield Loss(self.name, "; ".join(told), lost)

    def _successes(self) -> int | None:
        """Return how many images img2dataset wrote into the tar, where it says so."""
        path = statistics_of(self.path)
        if not path.is_file():
            return None
        statistics = read_json(path)
        images = statistics.get("successes") if isinstance(statistics, dict) else None
        if not isinstance(images, int) or images < 0:
            raise Missing(path, "has no count 'successes'; delete it or restore it")
        return images

    def _estimate(self, holes: Sequence[Hole]) -> int:
        """Return how many images `holes` may have held, by their bytes; at least one.

        The tar of median size beside this one gives the bytes of an image, and those of a tar that was cut.
        """
        try:
            beside = (path for path in self.path.parent.iterdir() if is_tar(path.name) and path.is_file())
            sizes = sorted((path.stat().st_size, path) for path in beside)
            usual, typical = sizes[len(sizes) // 2]
            absent: list[Hole] = []
            images = sum(suffix_of(member.name) in SUFFIXES for member in members(typical, absent))
            own = self.path.stat().st_size if self.path.is_file() else 0
        except (InputError, OSError, IndexError):
            return 1
        lost = sum((max(own, usual) if hole.end is None else hole.end) - hole.start for hole in holes)
        present = usual - sum((usual if hole.end is None else hole.end) - hole.start for hole in absent)
        return max(1, round(lost * images / max(1, present)))


def statistics_of(tar: Path) -> Path:
    """Return where img2dataset says what it wrote into a tar."""
    return tar.with_name(f"{tar.stem}_stats.json")


def is_tar(name: str) -> bool:
    """Tell whether a file is a tar by its name."""
    return suffix_of(name) == "tar"


def pictures(group: Iterable[TarInfo], left_out: Counter[str]) -> Iterator[TarInfo]:
    """Yield the pictures among members of one webdataset key; those that are not read are added to `left_out`.

    webdataset splits a name at its first dot, and so takes `IMG.2021.05.jpg` for an annotation `2021.05.jpg` of the
    sample `IMG`. Here the last dot counts, and `0.mask.png` is an annotation where there is a picture `0.jpg`.
    """
    group = list(group)
    stems = {stem_of(member.name) for member in group if suffix_of(member.name) in SUFFIXES}
    for member in group:
        suffix = suffix_of(member.name)
        if suffix not in SUFFIXES and suffix not in OTHER_SUFFIXES:
            continue
        if member.name.rpartition("/")[2].startswith("."):
            left_out["hidden"] += 1
        elif not member.isreg() or member.issparse():
            left_out[f"links or other special files (.{suffix})"] += 1
        elif suffix in OTHER_SUFFIXES:
            left_out[f".{suffix}"] += 1
        elif extends(stem_of(member.name), stems):
            left_out[f".{suffix} beside the picture that they annotate"] += 1
        else:
            yield member


def stem_of(name: str) -> str:
    """Return a member's name without what follows its last dot."""
    return name.rpartition(".")[0]


def extends(stem: str, stems: set[str]) -> bool:
    """Tell whether `stem` is one of the other stems with more behind a dot."""
    while stem := stem.rpartition(".")[0]:
        if stem in stems:
            return True
    return False


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
