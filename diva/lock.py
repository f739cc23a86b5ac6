"""One command at a time in a folder that it fills."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diva.atomic import sweep
from diva.errors import InputError, RunError

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold `folder`, made where it is missing, for this process and for those that inherit the descriptor.

    The kernel frees it with the last of them, however they end. What dead processes left under temporary names is
    removed. Nothing is left of the lock once the block has ended.

    Raises:
        InputError: another process holds it; the sentence names it.
        RunError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _take(folder)
    except OSError as error:
        raise RunError(f"{folder}: cannot be written to ({error.strerror}); free or change the place") from error
    try:
        sweep(folder)
        yield file
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        os.close(file)


def _take(folder: Path) -> int:
    path = folder / LOCK
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(file, 32, 0).decode(errors="replace").strip()
            os.close(file)
            raise InputError(
                f"{folder}: another command is at work there"
                f"{f' (process {holder})' if holder.isdecimal() else ''}; wait for it or name another folder"
            ) from error
        try:
            if path.stat().st_ino == os.fstat(file).st_ino:
                os.truncate(file, 0)
                os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
                return file
        except FileNotFoundError:
            pass
        os.close(file)  # its holder removed it between our two calls
