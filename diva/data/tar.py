"""Walking a tar header by header, past what is damaged in it.

Only headers are read, and members where they lie, so that skipping costs no reading. webdataset's own iterator
reads every byte of every member, and takes a broken header for the end of the archive without a word. Here both a
broken header and a missing end are holes that are reported, and the walk continues at the next whole header.
"""

import os
import tarfile
from collections.abc import Generator, Iterator
from pathlib import Path
from tarfile import BLOCKSIZE, RECORDSIZE, TarInfo
from typing import BinaryIO, NamedTuple

from diva.documents import open_file

MAGIC, MAGIC_AT = b"ustar", 257  # in every header of a POSIX or GNU tar
CHUNK = 2**16


class Hole(NamedTuple):
    """Bytes of a tar in which no member can be found.

    Attributes:
        end: None where no header follows; the tar may have been longer.
    """

    reason: str
    start: int
    end: int | None


def members(path: Path, holes: list[Hole]) -> Iterator[TarInfo]:
    """Yield what is in the tar `path` but folders, in its order; what is damaged is added to `holes`.

    Raises:
        InputError: it is not a regular file or cannot be opened.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        start: int | None = 0
        while start is not None:
            reason, behind = yield from _run(file, start, size)
            following, empty = _next_header(file, behind + BLOCKSIZE)
            if reason is None and not (empty and (following is None or _is_end(start, behind, following))):
                reason = f"zeros at byte {behind}, before its end"
            if reason is not None:
                holes.append(Hole(reason, behind, following))
            start = following


def _is_end(start: int, behind: int, following: int) -> bool:
    """Tell whether zeros from `behind` to `following` fill up a tar that began at `start`: `cat` joins tars."""
    return following - behind <= RECORDSIZE + BLOCKSIZE and (following - start) % RECORDSIZE == 0


def _run(file: BinaryIO, start: int, size: int) -> Generator[TarInfo, None, tuple[str | None, int]]:
    """Yield members from byte `start` on; return what ended them (None: an end mark) and the byte behind them."""
    behind = start
    file.seek(start)
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while member := tar.next():
                # tarfile keeps every member that it met; shards have tens of thousands
                tar.members = []  # type: ignore[attr-defined]
                if member.size < 0 or member.offset_data + member.size > size:
                    return f"it ends inside {member.name}", behind
                behind = tar.offset
                if not member.isdir():
                    yield member
            file.seek(tar.offset)
            if file.read(BLOCKSIZE) != bytes(BLOCKSIZE):
                return f"no header and no end mark at byte {tar.offset}", behind
    except Exception as error:  # damaged headers make tarfile raise anything
        return str(error) or type(error).__name__, behind
    return None, behind


def _next_header(file: BinaryIO, start: int) -> tuple[int | None, bool]:
    """Return where the first whole header from byte `start` on lies, and whether all before it is zero."""
    file.seek(start)
    empty = True
    while chunk := file.read(CHUNK):
        found = -1
        while (found := chunk.find(MAGIC, found + 1)) >= 0:
            place = found - MAGIC_AT
            if place >= 0 and place % BLOCKSIZE == 0 and _is_header(chunk[place : place + BLOCKSIZE]):
                return start + place, empty and chunk.count(0, 0, place) == place
        empty = empty and chunk.count(0) == len(chunk)
        start += len(chunk)
    return None, empty


def _is_header(block: bytes) -> bool:
    try:
        TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True
