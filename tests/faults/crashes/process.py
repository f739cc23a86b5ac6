"""A command in a real process of its own, forked from one that has imported everything."""

import fcntl
import math
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from tests.fixtures.full_disk import full_disk

ROOM = 2**20  # bytes that a command may print before anybody reads them
SECONDS = 3600
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.faults.crashes.preload"])


@dataclass(frozen=True)
class Moment:
    """When to strike: some seconds after the start, or as soon as the command has made some paths."""

    seconds: float = math.inf
    paths: float = math.inf


class Running:
    """A `diva` command at work, in a session of its own."""

    def __init__(self, words: Sequence[str], *, room: int | None = None) -> None:
        """Start it; `room` is what a full disk leaves each file, in bytes."""
        self._said, printed = _FORKS.Pipe(duplex=False)
        fcntl.fcntl(printed.fileno(), fcntl.F_SETPIPE_SZ, ROOM)
        self._process = _FORKS.Process(target=_main, args=(words, printed, room))
        self._process.start()
        printed.close()
        self._pid = self._process.pid or 0
        while self._process.is_alive() and os.getpgid(self._pid) != self._pid:
            time.sleep(0.001)

    def wait(self) -> tuple[int, str]:
        """Return its exit status, negative for the signal that ended it, and everything that it printed."""
        self._process.join(SECONDS)
        assert self._process.exitcode is not None, f"no end within {SECONDS} s"
        said = b""
        while block := os.read(self._said.fileno(), ROOM):
            said += block
        return self._process.exitcode, said.decode()

    def strike(self, number: signal.Signals, place: Path, moment: Moment, *, alone: bool) -> int:
        """Send it a signal at `moment`, unless it ends before, and to what it has started too unless `alone`.

        Return how many paths it had made in `place` by then, temporary ones included.
        """
        seen, began = set[str](), time.monotonic()
        while time.monotonic() - began < moment.seconds and len(seen) < moment.paths:
            if not self._process.is_alive():
                return len(seen)
            seen |= _paths(place)
            time.sleep(0.0005)
        (os.kill if alone else os.killpg)(self._pid, number)
        return len(seen)


def _main(words: Sequence[str], printed: Connection, room: int | None) -> None:
    from diva.cli import main

    os.dup2(printed.fileno(), 1)
    os.dup2(printed.fileno(), 2)
    printed.close()
    # those of the fork server may have been opened on files, and would seek
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    multiprocessing.set_start_method("fork", force=True)  # what a new Python would have
    np.random.seed()  # a new Python would begin anywhere
    sys.argv = ["diva", *words]
    os.setsid()  # from here on it can be struck
    with nullcontext() if room is None else full_disk(room):
        main()


def _paths(place: Path) -> set[str]:
    """Return what lies below `place`; a folder that goes meanwhile is none."""
    return {os.path.join(folder, name) for folder, *names in os.walk(place) for name in chain(*names)}
