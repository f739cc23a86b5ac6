"""One run at a time in a folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diva.errors import InputError


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold `folder` for this process and for those that inherit the descriptor; the kernel frees it with the last.

    Raises:
        InputError: another run is at work there.
    """
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"{folder}: another run, or a stage that it left behind, is at work there; wait for it or name"
                " another folder with --out"
            ) from error
        yield file.fileno()
