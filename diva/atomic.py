"""Files and folders that are complete or not there, in place of nothing that is not ours."""

import ctypes
import errno
import json
import os
import re
import secrets
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from safetensors import SafetensorError

from diva.errors import Damaged, Occupied, Unwritable, WriteFailed
from diva.seal import SEAL, DamagedError, is_sealed, seal, settle, sync, verify

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
# a process in a container often has the number of the one before it; and nobody else may guess a temporary name
_TOKEN = secrets.token_hex(4)
_NAME_BYTES = 160  # of a name in its temporary name, which may have 255 with the machine's


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; it takes the place of `path` once the block ends without an error.

    Folders above are made; an error leaves whatever was at `path`.

    Raises:
        InputError: as for `check_file`.
        RunError: the place cannot be written to.
    """
    check_file(path)
    temporary = temporary_name(path)
    with _writing(path):
        sweep(path.parent, path.name)
        try:
            yield temporary
            settle(temporary)
            check_file(path)  # again: hours may lie between
            temporary.replace(path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(content: Any, path: Path) -> None:
    """Write a pydantic model, or plain values, as JSON; a file's name that is not UTF-8 reads back as it was.

    Raises:
        InputError: as for `check_file`.
        RunError: the place cannot be written to.
    """
    values = content.model_dump(mode="json") if isinstance(content, BaseModel) else content
    text = json.dumps(values, indent=1, ensure_ascii=False) + "\n"
    with replacing(path) as temporary:
        # pydantic cannot write such a name; this writes its odd bytes as the escapes that JSON has for them
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def new_folder(folder: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield an empty folder to fill; at the block's good end it becomes `folder`, sealed (`diva.seal`).

    Folders above are made; an error leaves whatever was at `folder`.

    Args:
        folder: new or empty until then.
        replace: let the new folder take the place of one that holds only what this function put there.

    Raises:
        InputError: as for `check_folder`.
        RunError: the place cannot be written to.
    """
    check_folder(folder, replace=replace)
    temporary = temporary_name(folder)
    with _writing(folder):
        sweep(folder.parent, folder.name)
        content = temporary / folder.name
        try:
            content.mkdir(parents=True)
            yield content
            seal(content)
            put_folder(content, folder, replace=replace)
        finally:
            discard(temporary)


@contextmanager
def new_files(folder: Path, last: str) -> Iterator[Path]:
    """Yield an empty folder; at the block's good end its files take their places in `folder`, beside what is there.

    Args:
        folder: where files of the same names are replaced.
        last: the file that says that the others are there; it goes first and comes last.

    Raises:
        InputError: as for `check_file`.
        RunError: the place cannot be written to.
    """
    with _writing(folder / last):
        content = temporary_name(folder / last)
        try:
            content.mkdir()
            yield content
            paths = sorted(content.iterdir(), key=lambda path: path.name == last)
            for path in paths:
                check_file(folder / path.name)
                settle(path)
            (folder / last).unlink(missing_ok=True)
            for path in paths:
                path.replace(folder / path.name)
            sync(folder)
        finally:
            discard(content)


def put_folder(content: Path, folder: Path, *, replace: bool = False) -> None:
    """Give the complete folder `content`, alone in a temporary folder, the name `folder`.

    A predecessor is exchanged for it in one act where the system can do that; it is then left at `content`.
    Elsewhere it waits in the temporary folder, in one of its own name, from which `discard` puts it back if it has
    no successor.

    Raises:
        InputError: as for `check_folder`.
        OSError: the system refuses.
    """
    check_folder(folder, replace=replace)  # again: hours may lie between
    if not folder.exists():
        content.rename(folder)
    elif not _exchange(content, folder):
        earlier = content.parent / content.parent.name
        earlier.mkdir()
        folder.rename(earlier / folder.name)
        content.rename(folder)
    sync(folder.parent)


def check_file(path: Path) -> None:
    """Check that a file may be written to `path`, before the work that it is to hold.

    Raises:
        InputError: a folder, a link, a device or the like lies there, or the place may not be written to.
    """
    mode = _mode(path)
    if mode is not None and not stat.S_ISREG(mode):
        raise Unwritable(path, f"is {_kind(mode)}, which a file may not replace; name another file")


def check_files_in(folder: Path, *names: str) -> None:
    """Check that files called `names` may be written into `folder`, before the work that they are to hold.

    A folder that a command fills is never a link: what lies behind one is named as itself, or not meant at all.

    Raises:
        InputError: a file, a link or the like lies at `folder`, or `check_file` refuses one of the files.
    """
    with suppress(OSError):  # of a place that is not there; `check_file` says what else is wrong with it
        mode = folder.lstat().st_mode
        if not stat.S_ISDIR(mode):
            raise Unwritable(folder, f"is {_kind(mode)}; name a folder, or a new one")
    for name in names:
        check_file(folder / name)


def check_folder(folder: Path, *, replace: bool = False) -> None:
    """Check that a folder may be written to `folder`, before the work that it is to hold.

    Args:
        folder: new, empty, or with `replace` one that holds only what `new_folder` put there.
        replace: whether that is allowed.

    Raises:
        InputError: something else lies there, or the place may not be written to.
    """
    mode = _mode(folder)
    if mode is None:
        return
    if not stat.S_ISDIR(mode):
        raise Unwritable(folder, f"is {_kind(mode)}, which a folder may not replace; name another folder")
    try:
        if Path.cwd().is_relative_to(os.path.realpath(folder)):
            raise Unwritable(folder, "is the folder that the command runs in, or above it; name another folder")
        if not any(folder.iterdir()):
            return
        if not replace:
            raise Occupied(folder, "is not empty; name a new folder")
        if not is_sealed(folder):
            raise Occupied(
                folder,
                f"is not empty and was not written by this version of diva ({SEAL} is missing); remove it"
                " if it may go, or name another folder",
            )
        verify(folder, complete=True)
    except DamagedError as error:
        raise Occupied(
            folder, f"holds something that would be lost ({error}); move it away or name another folder"
        ) from error
    except OSError as error:
        raise Damaged(folder, f"cannot be read ({error.strerror}); name another folder") from error


def temporary_name(path: Path) -> Path:
    """Return the name beside `path` under which this process writes it; `sweep` knows whose it was."""
    return path.with_name(f".{_short(path.name)}.{_machine()}-{os.getpid()}-{_TOKEN}.tmp")


def sweep(folder: Path, name: str | None = None) -> None:
    """Remove what processes of this machine that are dead left under temporary names in `folder`.

    Args:
        folder: where to look; nothing below it is touched.
        name: of the file or folder that was being written; all unless given.
    """
    owner = re.escape(_short(name)) if name else ".+"
    ours = re.compile(rf"\.{owner}\.{re.escape(_machine())}-([0-9]+)-([0-9a-f]{{8}})\.tmp", re.DOTALL)
    for path in folder.iterdir():
        found = ours.fullmatch(path.name)
        if found and not _alive(int(found[1]), found[2]):
            with suppress(OSError):  # another user's, or another process sweeps too
                discard(path)


def discard(path: Path) -> None:
    """Remove a file, or a folder with all that it holds, that this program made under a name of its own.

    A predecessor that `put_folder` laid aside there, and that has no successor, gets its name back.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for earlier in (path / path.name).glob("*"):
        with suppress(OSError):  # the successor is there
            earlier.rename(path.parent / earlier.name)
    shutil.rmtree(path, ignore_errors=True)


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
        raise WriteFailed(place, f"cannot be written ({reason}); free or change the place") from error


def _mode(path: Path) -> int | None:
    """Return the mode of what lies at `path`, or None where nothing does and something may be written."""
    try:
        above = next((place for place in path.absolute().parents if os.path.exists(place)), path)
        if not os.access(above, os.W_OK | os.X_OK):
            raise Unwritable(
                path, f"cannot be written, as {above} is not a folder that allows it; change the place"
            )
        return path.lstat().st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unwritable(path, f"cannot be written ({error.strerror}); change the place") from error


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFREG: "a file",
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")


def _short(name: str) -> str:
    return os.fsencode(name)[:_NAME_BYTES].decode(errors="ignore")


def _machine() -> str:
    return socket.gethostname().replace("/", "-")


def _alive(process: int, token: str) -> bool:
    if process == os.getpid():
        return token == _TOKEN
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
