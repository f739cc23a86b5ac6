"""A whole training over some shards and over ten times as many: is the cost of an image flat, and the memory?"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import psutil

from diva.errors import RunError
from diva.recipes import Recipe, write_recipe

TIMES = 10
INTERVAL = 0.02  # seconds between two looks at a run: a hundredth of what a part of it takes, and little work


class Mark(NamedTuple):
    """What a run, its workers included, had used when an update was done.

    Attributes:
        updates: done so far.
        cpu, wall: seconds since the process started.
        memory: bytes resident then, each file's pages counted once a process.
    """

    updates: int
    cpu: float
    wall: float
    memory: int


class Cost(NamedTuple):
    """Seconds of CPU and of the clock an image, and bytes resident at the end."""

    cpu: float
    wall: float
    memory: int


@dataclass(frozen=True)
class WholeRun:
    """A training that read all its images once.

    Attributes:
        shards: that they came from.
        batch: images of an update.
        marks: in order; the first ends the start-up.
        peak: most bytes that were seen resident.
    """

    shards: int
    batch: int
    marks: Sequence[Mark]
    peak: int

    @property
    def images(self) -> int:
        """Images of all updates."""
        return self.batch * self.marks[-1].updates

    @property
    def cost(self) -> Cost:
        """What an image cost once the first update was done, checkpoints included."""
        return self._between(self.marks[0], self.marks[-1])

    def parts(self, count: int) -> list[Cost]:
        """Return the cost in each of `count` parts of the run, equal in updates, one after another."""
        last = len(self.marks) - 1
        ends = [self.marks[round(part * last / count)] for part in range(count + 1)]
        return [self._between(start, end) for start, end in pairwise(ends)]

    def _between(self, start: Mark, end: Mark) -> Cost:
        images = self.batch * (end.updates - start.updates)
        return Cost((end.cpu - start.cpu) / images, (end.wall - start.wall) / images, end.memory)


def train_once(recipe: Recipe, folder: Path, *, shards: int) -> WholeRun:
    """Train the last stage of `recipe` over its images once: `diva train` in a process of its own.

    Args:
        recipe: writes a line of metrics for each update, which is how the updates are seen.
        folder: new; takes the run.
        shards: that the images come from.

    Raises:
        RunError: the training failed; the sentence holds the last line that it said.
    """
    stage = recipe.stages[-1].model_copy(update={"steps": None, "images": None, "epochs": 1.0})
    folder.mkdir(parents=True)
    write_recipe(recipe.model_copy(update={"stages": (stage,)}), folder / "recipe.yaml")
    command = [sys.executable, "-m", "diva.cli", "train", str(folder / "recipe.yaml"), "--out", str(folder / "run")]
    with (folder / "said").open("w+") as said:
        child = subprocess.Popen(command, stdout=said, stderr=said)
        looks = list(_watch(child, folder / "run" / "metrics.jsonl"))
        said.seek(0)
        lines = said.read().splitlines()
    # the first look at each number of updates; none before the first
    marks = [now for before, now in pairwise(looks) if now.updates > before.updates]
    if child.returncode or len(marks) < 2:
        raise RunError(f"--stage: the training of growth failed ({lines[-1] if lines else 'it said nothing'})")
    return WholeRun(shards, recipe.training.global_batch, marks, max(look.memory for look in looks))


def _watch(child: subprocess.Popen[bytes], metrics: Path) -> Iterator[Mark]:
    process, start = psutil.Process(child.pid), time.perf_counter()
    while child.poll() is None:
        updates = metrics.read_bytes().count(b"\n") if metrics.is_file() else 0
        try:
            family = [process, *process.children(recursive=True)]
            times = [member.cpu_times() for member in family]
            memory = sum(member.memory_info().rss for member in family)
        except psutil.Error:  # one of them has just ended
            continue
        cpu = sum(each.user + each.system for each in times)
        yield Mark(updates, cpu, time.perf_counter() - start, memory)
        time.sleep(INTERVAL)
