"""One command at a time in a folder that it fills."""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from diva.atomic import check_files_in, sweep
from diva.errors import Occupied, WriteFailed

logger = logging.getLogger("diva.lock")
LOCK = ".lock"
LOCKLESS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # NFS without a lock daemon, Lustre without flock
PATIENCE = 7.0  # seconds; workers of a process that was killed take up to 5 to notice, and hold it until then


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold `folder`, made where it is missing, for this process and for those that inherit the descriptor.

    The kernel frees it with the last of them, however they end. What dead processes left under temporary names is
    removed. Nothing is left of the lock once the block has ended, nor of a folder that was made and holds nothing.
    Where the file system has no locks, a warning says so and nothing is held.

    Raises:
        InputError: another process holds it, which the sentence names, or it is a link or no folder.
        RunError: the folder cannot be written to.
    """
    check_files_in(folder)
    made = not folder.exists()
    try:
        file = _take(folder)
    except OSError as error:
        raise WriteFailed(folder, f"cannot be written to ({error.strerror}); free or change the place") from error
    try:
        sweep(folder)
        yield file
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        os.close(file)
        if made:
            with suppress(OSError):  # it is filled
                folder.rmdir()


def _take(folder: Path) -> int:
    path, deadline = folder / LOCK, time.monotonic() + PATIENCE
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:  # its holder removed the folder between our two calls
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in LOCKLESS:
                logger.warning("%s: this file system has no locks; let one command at a time work there", folder)
                return file
            if not isinstance(error, BlockingIOError):
                os.close(file)
                raise
            holder = os.pread(file, 32, 0).decode(errors="replace").strip()
            os.close(file)
            gone = holder.isdecimal() and not psutil.pid_exists(int(holder))
            if gone and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            raise Occupied(
                folder,
                "another command is at work there"
                f"{f' (process {holder})' if holder.isdecimal() else ''}; wait for it or name another folder",
            ) from error
        try:
            if path.stat().st_ino == os.fstat(file).st_ino:
                os.truncate(file, 0)
                os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
                return file
        except FileNotFoundError:
            pass
        os.close(file)  # its holder removed it between our two calls
