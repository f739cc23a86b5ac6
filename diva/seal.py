"""A folder's list of what was written into it, in the format of `sha256sum`: `sha256sum -c diva.sha256` reads it.

It says two things later: whether a file has changed since (on reading), and whether a folder holds only what this
program wrote and may be replaced (on writing).
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

SEAL = "diva.sha256"
_UMASK = os.umask(0o077)  # which can only be read by setting it: here, before there are threads
os.umask(_UMASK)


class DamagedError(Exception):
    """A sealed folder that no longer holds what was written; the message names the first file that differs."""


def seal(folder: Path) -> None:
    """List every file below `folder` with its SHA-256, give each the user's usual mode, and sync all to disk.

    Libraries create weights through temporary files of mode 0600; here the umask decides, as for any other file.
    """
    lines = []
    for path in _files(folder):
        with path.open("rb") as file:
            lines.append(
                f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.relative_to(folder).as_posix()}\n"
            )
        settle(path)
    (folder / SEAL).write_text("".join(lines), encoding="utf-8", errors="surrogateescape")
    settle(folder / SEAL)
    for place, _, _ in os.walk(folder):
        sync(Path(place))


def is_sealed(folder: Path) -> bool:
    """Tell whether `folder` has a list."""
    return (folder / SEAL).is_file()


def verify(folder: Path, *, complete: bool = False) -> None:
    """Check every listed file's content.

    Args:
        folder: one that `seal` listed.
        complete: also refuse files, links and devices that are not on the list.

    Raises:
        DamagedError: the list cannot be read, or a file is missing, was changed or, with `complete`, was added.
    """
    listed = _read(folder / SEAL)
    if complete:
        for path in _files(folder):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink() or (name != SEAL and name not in listed):
                raise DamagedError(f"{name} was not written by diva")
    for name, expected in listed.items():
        path = folder / name
        try:
            if path.is_symlink() or not path.is_file():
                raise DamagedError(f"{name} is missing")
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DamagedError(f"{name} cannot be read ({error.strerror})") from error
        if found != expected:
            raise DamagedError(f"{name} is not what was written")


def settle(path: Path) -> None:
    """Give a file that is complete the mode that the umask allows, and sync it to disk."""
    path.chmod(0o666 & ~_UMASK)
    sync(path)


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files(folder: Path) -> Iterator[Path]:
    """Yield what is no folder below `folder`, links to folders included, in the order of the names."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        elif path.name != SEAL or path.parent != folder:
            yield path


def _read(path: Path) -> dict[str, str]:
    listed = {}
    try:
        for line in path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")[:-1]:
            digest, mark, name = line.partition("  ")
            if not mark or len(digest) != hashlib.sha256().digest_size * 2 or ".." in Path(name).parts:
                raise DamagedError(f"{SEAL} is damaged")
            listed[name] = digest
    except OSError as error:
        raise DamagedError(f"{SEAL} cannot be read ({error.strerror})") from error
    return listed
