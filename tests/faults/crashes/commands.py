"""Commands that are killed: each makes the same files again, however often it was stopped."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.attacks.formats.images import picture
from tests.faults.attacks.formats.towers import TOWER, WORLD
from tests.fixtures.recipes import write_recipe_file

LEFT = (".*.tmp", ".lock")


@dataclass(frozen=True)
class Command:
    """A command line.

    Attributes:
        words: of a folder with what `prepare` wrote.
        again: what is added to go on after a stop.
        results: patterns of the files that must come out the same.
    """

    name: str
    words: Callable[[Path], Sequence[str]]
    again: tuple[str, ...]
    results: tuple[str, ...]


def prepare(folder: Path) -> Path:
    """Write what every command reads: images and a recipe of the shipped tower and teacher."""
    (folder / "images").mkdir(parents=True)
    for number in range(8):
        picture(number, 56).save(folder / "images" / f"{number}.png")
    write_recipe_file(
        folder / "tiny.yaml",
        tower=TOWER,
        teacher=WORLD / "teacher",
        source=folder / "images",
        condition={"type": "dense_recap", "tokens": {"kind": "random", "count": 36}, "combine": "token_by_token"},
        data={"source": str(folder / "images"), "image_size": 48, "workers": 0, "streams": 1, "shuffle_buffer": 8},
        training={
            "global_batch": 2,
            "micro_batch": 2,
            "precision": "fp32",
            "frozen_dtype": "float32",
            "log_every": 1,
            "checkpoint_every": 2,
        },
        stages=[{"steps": 8, "warmup": 0.0, "optimizer": {"type": "adamw", "lr": 1e-3}}],
    )
    return folder


COMMANDS = (
    Command(
        "diva train",
        lambda folder: ["train", str(folder / "tiny.yaml")],
        ("--resume",),
        ("tower/*.safetensors", "projection.safetensors"),
    ),
    Command(
        "diva data cache-latents",
        lambda folder: ["data", "cache-latents", str(folder / "tiny.yaml")],
        (),
        ("*.tar", "index.json"),
    ),
    Command(
        "diva export", lambda _: ["export", str(TOWER), "--to", "transformers"], (), ("*.safetensors", "*.json")
    ),
)


def start(command: Command, folder: Path, out: Path, *, again: bool = False) -> subprocess.Popen[str]:
    """Start a command in a process group of its own."""
    more = command.again if again else ()
    return subprocess.Popen(
        [sys.executable, "-m", "diva.cli", *command.words(folder), *more, "--out", str(out)],
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def finish(command: Command, folder: Path, out: Path, *, again: bool = False) -> None:
    """Run a command to its good end."""
    running = start(command, folder, out, again=again)
    _, said = running.communicate()
    assert running.returncode == 0, said


def interrupt(command: Command, folder: Path, out: Path, seconds: float, number: signal.Signals) -> bool:
    """Start a command and send it a signal after `seconds`; return whether it was still at work."""
    running = start(command, folder, out)
    time.sleep(seconds)
    ended = running.poll() is not None
    if not ended:
        os.killpg(running.pid, number)
    running.communicate()
    return not ended


def digests(command: Command, out: Path) -> dict[str, str]:
    """Return the SHA-256 of each result."""
    files = sorted(path for pattern in command.results for path in out.glob(pattern))
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def litter(out: Path) -> list[Path]:
    """Return what lies in or beside `out` under temporary names."""
    return [path for pattern in LEFT for path in (*out.rglob(pattern), *out.parent.glob(pattern))]
