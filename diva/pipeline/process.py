"""One stage's process."""

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

Running = set[subprocess.Popen[bytes]]


def command_line(launcher: Sequence[str], words: Sequence[str]) -> list[str]:
    """Return what starts `diva WORDS`: by this Python, or by a launcher such as torchrun or srun."""
    return [*(launcher or [sys.executable]), "-m", "diva.cli", *words]


def run_logged(command: Sequence[str], log: Path, lock: int, running: Running) -> int:
    """Run `command`, append everything that it prints to `log`, and return its exit status.

    If this process is interrupted, the command is asked to end (training then saves a checkpoint) and waited for.

    Args:
        lock: descriptor of the run's lock, which the command holds as well: if this process alone is killed, nobody
            else begins while the command still works.
        running: holds the command's process while it works, for another thread to end it.

    Raises:
        OSError: the program cannot be started, or the log not be written.
    """
    # 80 columns would break a table's lines in the log
    environment = os.environ | {"COLUMNS": os.environ.get("COLUMNS", "160")}
    with (
        log.open("ab") as output,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=[lock],
        ) as process,
    ):
        running.add(process)
        try:
            return process.wait()
        except BaseException:
            end([process])
            raise
        finally:
            running.discard(process)


def end(running: Iterable[subprocess.Popen[bytes]]) -> None:
    """Ask processes to end, and wait until they have."""
    waited = list(running)
    for process in waited:
        process.terminate()
    for process in waited:
        process.wait()


def last_words(log: Path) -> str:
    """Return the last line of `log` that says something: for a failed `diva` command, its sentence."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "it printed nothing").removeprefix("diva: ")
