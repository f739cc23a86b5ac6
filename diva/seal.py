"""A folder's list of what was written into it, in the format of `sha256sum`: `sha256sum -c diva.sha256` reads it.

It says two things later: whether a file has changed since (on reading), and whether a folder holds only what this
program wrote and may be replaced (on writing).
"""

import errno
import hashlib
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from diva.documents import read_file
from diva.errors import InputError
from diva.progress import phase

SEAL = "diva.sha256"
_ESCAPES = {"\\": r"\\", "\n": r"\n", "\r": r"\r"}  # as sha256sum has them, in a line that starts with a backslash
_LINE = re.compile(r"(\\?)([0-9a-f]{64})  (.+)")
_UMASK = os.umask(0o077)  # which can only be read by setting it: here, before there are threads
os.umask(_UMASK)


class DamagedError(Exception):
    """A sealed folder that no longer holds what was written; the message names the first file that differs."""


@phase("hashing what was written")
def seal(folder: Path) -> None:
    """List every file below `folder` with its SHA-256, give each the user's usual mode, and sync all to disk.

    Libraries create weights through temporary files of mode 0600; here the umask decides, as for any other file.
    """
    lines = []
    files, folders = _content(folder)
    for name in files:
        lines.append(_line(_sha256(folder / name), name))
        settle(folder / name)
    (folder / SEAL).write_bytes(os.fsencode("".join(lines)))
    settle(folder / SEAL)
    for place in folders:
        sync(place)


def is_sealed(folder: Path) -> bool:
    """Tell whether `folder` has a list."""
    return (folder / SEAL).is_file()


@phase("checking hashes")
def verify(folder: Path, *, complete: bool = False) -> None:
    """Check every listed file's content.

    Args:
        folder: one that `seal` listed.
        complete: also refuse files, links and devices that are not on the list.

    Raises:
        DamagedError: the list cannot be read, or a file is missing, was changed or, with `complete`, was added.
    """
    listed = _read(folder / SEAL)
    name = "it"
    try:
        for name in _content(folder)[0] if complete else ():
            if name not in listed or (folder / name).is_symlink():
                raise DamagedError(f"{name} was not written by diva")
        for name, expected in listed.items():
            if (folder / name).is_symlink() or not (folder / name).is_file():
                raise DamagedError(f"{name} is missing")
            if _sha256(folder / name) != expected:
                raise DamagedError(f"{name} has changed since it was written")
    except OSError as error:
        raise DamagedError(f"{name} cannot be read ({error.strerror})") from error


def strangers(folder: Path) -> list[str]:
    """Return the files below `folder` that its list does not name; none where the list cannot be read."""
    try:
        listed = _read(folder / SEAL)
    except DamagedError:
        return []
    return sorted(set(_content(folder)[0]) - set(listed) - {SEAL})


def newest_whole(folders: Sequence[Path]) -> tuple[Path | None, list[str]]:
    """Return the last of `folders` that is what was written, or None, and what is wrong with later ones."""
    damaged = []
    for folder in reversed(folders):
        try:
            verify(folder, complete=True)
        except DamagedError as error:
            damaged.append(f"{folder}: {error}")
        else:
            return folder, damaged
    return None, damaged


def settle(path: Path) -> None:
    """Give a file that is complete the mode that the umask allows, and sync it to disk."""
    with suppress(OSError):  # some file systems have no modes
        path.chmod(0o666 & ~_UMASK)
    sync(path)


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on disk, where the file system can say so."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(descriptor)


def _content(folder: Path) -> tuple[list[str], list[Path]]:
    """Return the names of what is no folder below `folder`, links to folders included, and all its folders."""
    files, folders = [], [folder]
    for place in folders:  # which grows
        for path in place.iterdir():
            if path.is_dir() and not path.is_symlink():
                folders.append(path)
            else:
                files.append(path.relative_to(folder).as_posix())
    return sorted(name for name in files if name != SEAL), folders


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _line(digest: str, name: str) -> str:
    escaped = re.sub(r"[\\\n\r]", lambda found: _ESCAPES[found[0]], name)
    mark = "" if escaped == name else "\\"
    return f"{mark}{digest}  {escaped}\n"


def _read(path: Path) -> dict[str, str]:
    originals = {escaped: character for character, escaped in _ESCAPES.items()}
    listed = {}
    try:
        lines = os.fsdecode(read_file(path)).split("\n")
    except InputError as error:
        raise DamagedError(f"{SEAL} {str(error).removeprefix(f'{path}: ').partition(';')[0]}") from error
    for line in lines[:-1]:
        found = _LINE.fullmatch(line)
        if not found or lines[-1]:
            raise DamagedError(f"{SEAL} is damaged")
        mark, digest, name = found.groups()
        if mark:
            name = re.sub(r"\\[\\nr]", lambda escape: originals[escape[0]], name)
        if name.startswith("/") or ".." in name.split("/"):
            raise DamagedError(f"{SEAL} is damaged")
        listed[name] = digest
    return listed
