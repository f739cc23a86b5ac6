"""Files and folders that are complete or not there, in place of nothing that is not ours."""

import ctypes
import errno
import os
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from diva.errors import InputError, RunError
from diva.seal import SEAL, DamagedError, is_sealed, seal, settle, sync, verify

EARLIER = "earlier"  # what a folder's predecessor is called inside the temporary folder, where nothing can exchange
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; it takes the place of `path` once the block ends without an error.

    Folders above are made; an error leaves whatever was at `path`.

    Raises:
        InputError: what lies at `path` is no regular file.
        RunError: the place cannot be written to.
    """
    check_file(path)
    temporary = temporary_name(path)
    with _writing(path):
        sweep(path.parent, path.name)
        try:
            yield temporary
            settle(temporary)
            temporary.replace(path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield an empty folder to fill; at the block's good end it becomes `folder`, sealed (`diva.seal`).

    Folders above are made; an error leaves whatever was at `folder`.

    Args:
        folder: new or empty until then.
        replace: let the new folder take the place of one that holds only what this function put there.

    Raises:
        InputError: what lies at `folder` is no folder, or with `replace` holds anything that is not ours.
        RunError: the place cannot be written to.
    """
    check_folder(folder, replace=replace)
    temporary = temporary_name(folder)
    with _writing(folder):
        sweep(folder.parent, folder.name)
        content = temporary / folder.name
        content.mkdir(parents=True)
        try:
            yield content
            seal(content)
            put_folder(content, folder, replace=replace)
        finally:
            discard(temporary)


def put_folder(content: Path, folder: Path, *, replace: bool = False) -> None:
    """Give the complete folder `content`, alone in a temporary folder, the name `folder`.

    A predecessor is exchanged for it in one act where the system can do that; it is then left at `content`.

    Raises:
        InputError: as for `check_folder`.
        OSError: `folder` is not empty and `replace` is not set, or the system refuses.
    """
    if replace and folder.exists():
        check_folder(folder, replace=True)  # again: hours may lie between
        if not _exchange(content, folder):
            folder.rename(content.parent / EARLIER)
            content.rename(folder)
    else:
        content.rename(folder)
    sync(folder.parent)


def check_file(path: Path) -> None:
    """Check that a file may be written to `path`, before the work that it is to hold.

    Raises:
        InputError: a folder, a link, a device or the like lies there.
    """
    mode = _mode(path)
    if mode is not None and not stat.S_ISREG(mode):
        raise InputError(f"{path}: is {_kind(mode)}, which a file may not replace; name another file")


def check_folder(folder: Path, *, replace: bool = False) -> None:
    """Check that a folder may be written to `folder`, before the work that it is to hold.

    Args:
        folder: new, empty, or with `replace` one that holds only what `new_folder` put there.
        replace: whether that is allowed.

    Raises:
        InputError: something else lies there.
    """
    mode = _mode(folder)
    if mode is None:
        return
    if not stat.S_ISDIR(mode):
        raise InputError(f"{folder}: is {_kind(mode)}, which a folder may not replace; name another folder")
    if not replace or not any(folder.iterdir()):
        return
    if not is_sealed(folder):
        raise InputError(
            f"{folder}: is not empty and was not written by diva ({SEAL} is missing); name another folder"
        )
    try:
        verify(folder, complete=True)
    except DamagedError as error:
        raise InputError(
            f"{folder}: holds something that would be lost ({error}); move it away or name another folder"
        ) from error


def temporary_name(path: Path) -> Path:
    """Return the name beside `path` under which this process writes it; `sweep` knows whose it was."""
    return path.with_name(f".{path.name}.{_machine()}-{os.getpid()}.tmp")


def sweep(folder: Path, name: str = "*") -> None:
    """Remove what processes of this machine that are dead left under temporary names in `folder`.

    Args:
        folder: where to look; nothing below it is touched.
        name: of the file or folder that was being written; all unless given.
    """
    pattern = name if name == "*" else "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
    for path in folder.glob(f".{pattern}.{_machine()}-*.tmp"):
        process = path.name.removesuffix(".tmp").rpartition("-")[2]
        if not process.isdecimal() or _alive(int(process)):
            continue
        owner = path.name[1:].rpartition(f".{_machine()}-")[0]
        if (path / EARLIER).is_dir() and not (folder / owner).exists():
            (path / EARLIER).rename(folder / owner)  # it was killed between two renames
        discard(path)


def discard(path: Path) -> None:
    """Remove a file, or a folder with all that it holds, that this program made under a name of its own."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one act; return False where the system or the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(other))


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    """Make the folders above `place`, and tell in a sentence what keeps the block from writing there."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        yield
    except (OSError, SafetensorError) as error:  # safetensors' own, for a disk that is full
        reason = getattr(error, "strerror", None) or error
        raise RunError(f"{place}: cannot be written ({reason}); free or change the place") from error


def _mode(path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except OSError:  # not there, or above it lies no folder: writing says so
        return None


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFREG: "a file",
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")


def _machine() -> str:
    return socket.gethostname().replace("/", "-")


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
