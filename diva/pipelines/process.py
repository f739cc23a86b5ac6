"""One step's process."""

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from diva.atomic import check_file


def command_line(launcher: Sequence[str], words: Sequence[str]) -> list[str]:
    """Return what starts `diva WORDS`: by this Python, or by a launcher such as torchrun or srun."""
    return [*(launcher or [sys.executable]), "-m", "diva.cli", *words]


def start_logged(command: Sequence[str], log: Path, lock: int) -> subprocess.Popen[bytes]:
    """Start `command`; everything that it prints is appended to `log`.

    Args:
        lock: descriptor of the run's lock, which the command holds as well: if this process alone is killed, nobody
            else begins while the command still works.

    Raises:
        InputError: the log is no regular file of its own.
        OSError, ValueError: the program cannot be started, or the log not be written.
    """
    # 80 columns would break a table's lines in the log
    environment = os.environ | {"COLUMNS": os.environ.get("COLUMNS", "160")}
    check_file(log)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=[lock],
        )


def end(running: Iterable[subprocess.Popen[bytes]]) -> None:
    """Ask processes to end (training then saves a checkpoint), and wait until they have."""
    waited = list(running)
    for process in waited:
        process.terminate()
    for process in waited:
        process.wait()


def last_words(log: Path) -> str:
    """Return the last line of `log` that says something: for a failed `diva` command, its sentence."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "it printed nothing").removeprefix("diva: ")
