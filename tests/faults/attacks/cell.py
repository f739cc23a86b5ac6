"""One cell of the table: a reader is given a damaged file, within limits of time and memory."""

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from diva.errors import InputError, RunError
from diva.images import UnusableError
from tests.faults.attacks.damage import RAN, Attack

SECONDS = 20
MEMORY = 2 * 2**30


@dataclass(frozen=True)
class Format:
    """A file that some command reads.

    Attributes:
        kind: what it is made of, such as "json"; attacks ask for it.
        write: fills an empty folder with the file and what belongs to it.
        file: its name in that folder.
        read: the project's own reader, given the folder; what it returns can be compared.
        hashed: whether its content is checked against a hash, so that it is never read as something else.
        optional: whether the reader does without it where it is not there.
    """

    name: str
    kind: str
    write: Callable[[Path], object]
    file: str
    read: Callable[[Path], Any]
    hashed: bool = False
    optional: bool = False


class _OutOfTime(BaseException):
    """No reader catches it."""


def complaint(format_: Format, folder: Path, whole: Any, attack: Attack) -> str | None:
    """Return what is wrong with how the file in `folder` is read; None if nothing is.

    Args:
        whole: what the undamaged file says.
        attack: that it went through.
    """
    path = folder / format_.file
    waiting = _opened_late(path) if path.is_fifo() else nullcontext()
    try:
        with _limited(MEMORY if attack.endless and format_.kind != "arrow" else None), _within(folder), waiting:
            found = format_.read(folder)
    except UnusableError as error:  # whoever asked for the image names it
        return None if "\n" not in str(error) else f"more than one line: {str(error)!r}"
    except (InputError, RunError) as error:
        sentence = str(error)
        if "\n" in sentence:
            return f"more than one line: {sentence!r}"
        named = (folder / format_.file).relative_to(folder).parts
        return (
            None if folder.name in sentence or any(part in sentence for part in named) else f"no file: {sentence}"
        )
    except _OutOfTime:
        return f"no answer within {SECONDS} s"
    except Exception as error:  # whatever it is, a user would see a traceback
        return f"{type(error).__name__}: {str(error)[:200]}"
    if (folder / RAN).exists():
        return "ran a program"
    loud = attack.loud and not (format_.optional and attack.removes)
    if found != whole and (loud or format_.hashed):
        return f"read as something else: {str(found)[:200]}"
    return None


def copied(pristine: Path, file: str, place: Path) -> Path:
    """Return a copy of `pristine` in which `file` may be damaged; the others are links to the same content."""
    shutil.copytree(pristine, place, copy_function=os.link, symlinks=True)
    content = (place / file).read_bytes()
    (place / file).unlink()
    (place / file).write_bytes(content)
    return place


@contextmanager
def _limited(memory: int | None) -> Iterator[None]:
    """Stop what takes too long, or `memory` bytes more; a timer that was running continues afterwards."""

    def ring(*_: object) -> None:
        raise _OutOfTime

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if memory is not None:  # seldom, and never for Arrow: its threads hang when they get no memory
        resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + memory, hard))
    handler = signal.signal(signal.SIGALRM, ring)
    left, _ = signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def _opened_late(fifo: Path) -> Iterator[None]:
    """Open a FIFO when time is up: no signal reaches who waits for it in native code (safetensors, Arrow)."""
    writer = subprocess.Popen(["sh", "-c", f'sleep {SECONDS + 1}; exec 3<>"$0"; sleep 1', fifo])
    try:
        yield
    finally:
        writer.kill()
        writer.wait()


@contextmanager
def _within(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
