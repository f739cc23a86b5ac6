"""What every source of images can do, whatever files it lies in."""

import hashlib
import stat
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import ClassVar, Protocol

from diva.data.raw import Loss, RawImage
from diva.errors import Damaged, Unsupported
from diva.progress import phase


class Unit(Iterable[RawImage], Sized, Protocol):
    """Images that are read one after another; the order of the units is what is shuffled first."""


@dataclass(frozen=True)
class Source(ABC):
    """Images in files below one folder.

    Attributes:
        kind: the word that `diva data inspect` shows.
        spec: what the user named.
        root: the folder that `names` are relative to.
        names: the files, sorted.
        left_out: what lies beside them and is not read, by kind.
    """

    kind: ClassVar[str]
    spec: str
    root: Path
    names: Sequence[str] = field(repr=False)
    left_out: Counter[str] = field(repr=False, kw_only=True, default_factory=Counter)

    @abstractmethod
    def units(self, stream: int, streams: int) -> Sequence[Unit]:
        """Return the share of the images that belongs to one of `streams` disjoint streams."""

    def images(self) -> Iterator[RawImage]:
        """Yield all images in the source's own order, and a `Loss` wherever a file's are not all read."""
        return chain.from_iterable(self.units(0, 1))

    def order_digest(self) -> str:
        """Return a digest of what the order of the images depends on, beside seed and streams: the files."""
        return fingerprint(self)


@phase("counting images")
def count_images(source: Source) -> int:
    """Return the number of images of `source`, without decoding any.

    For tars the count is img2dataset's own (`XXXXX_stats.json` beside the shard) or, without one, the number
    of image members.

    Raises:
        InputError: a statistics file is not one of img2dataset's.
    """
    return sum(map(len, source.units(0, 1)))


@phase("looking for images")
def require_images(source: Source, streams: int) -> None:
    """Check that each of `streams` streams can have an image of its own.

    Raises:
        InputError: there are fewer images, or none; damaged files are named.
    """
    images, reasons = 0, []
    for raw in source.images():
        if isinstance(raw, Loss):
            reasons.append(f"{raw.key}: {raw.reason}")
        else:
            images += 1
        if images == streams:
            return
    if source.left_out:
        reasons.append(f"left out: {listed(source.left_out)}")
    why = f" ({'; '.join(reasons)})" if reasons else ""
    if not images:
        raise Damaged("data.source", source.spec, f"contains no readable image{why}; fetch or write it again")
    raise Unsupported(
        "data.streams",
        source.spec,
        f"has only {images} readable images{why} for {streams} streams;"
        f" lower data.streams to at most {images} or give more images",
    )


def listed(counts: Counter[str]) -> str:
    """Return counted kinds in one line, the most frequent first."""
    return ", ".join(
        f"{count:,} {kind}" for kind, count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    )


def size_in_bytes(source: Source) -> int:
    """Return the size of the source's files together."""
    return sum(max(0, _size(source.root / name)) for name in source.names)


def fingerprint(source: Source) -> str:
    """Return the SHA-256 over the sorted relative names and sizes of the source's files, in hexadecimal.

    It is cheap, since no content is read: it tells another selection of files from this one, but not an
    edited file that kept its length.
    """
    digest = hashlib.sha256()
    for name in source.names:
        digest.update(f"{name}\0{_size(source.root / name)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _size(path: Path) -> int:
    """Return a file's bytes, and -1 for what is not a file that is there: a dangling link, a device."""
    try:
        status = path.stat()
    except OSError:
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else -1
