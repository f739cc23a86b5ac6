"""The folder of a training run: what its files are called and what they hold. Nothing here imports torch."""

import math
import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, FiniteFloat, StrictInt, ValidationError

from diva.atomic import discard
from diva.documents import read_file, read_model
from diva.errors import Damaged, InputError, Missing, Occupied
from diva.lock import locked
from diva.recipes import Recipe, load_recipe, to_yaml
from diva.seal import is_sealed, newest_whole

METRICS: Final = "metrics.jsonl"
RECIPE: Final = "recipe.yaml"
POSITION: Final = "position.json"
MAX_METRICS = 2**30  # bytes of `metrics.jsonl`, which grows with every step
_CHECKPOINT = re.compile(r"(?:step|(checkpoint))-\d+")


class MetricsLine(BaseModel):
    """One line of `metrics.jsonl`; every number beside these fields is a curve.

    Attributes:
        step: updates so far.
        stage: of training, such as "stage 1/2".
        images, skipped: seen so far, and unusable among them.
        images_per_second, memory_gib: since the last line, and of the first process.
        warnings: sentences on what is wrong with the student.
    """

    model_config = ConfigDict(extra="allow")

    step: StrictInt
    stage: str = ""
    images: int | None = None
    skipped: int | None = None
    images_per_second: FiniteFloat | None = None
    memory_gib: FiniteFloat | None = None
    warnings: tuple[str, ...] = ()

    @property
    def curves(self) -> dict[str, float]:
        """The other numbers, by name."""
        extra = self.model_extra or {}
        return {
            key: value for key, value in extra.items() if isinstance(value, int | float) and math.isfinite(value)
        }


class Position(BaseModel):
    """Where a run stands, kept in each checkpoint.

    Attributes:
        version: of what follows.
        step: updates so far; stage: number of the current one, from 0.
        processes: that wrote it.
        data: the loader's state, of all processes together.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    step: int
    stage: int
    processes: int
    data: dict[str, Any]

    def write(self, checkpoint: Path) -> None:
        """Put it into the folder of a checkpoint, which is sealed later."""
        (checkpoint / POSITION).write_text(self.model_dump_json())

    @classmethod
    def read(cls, checkpoint: Path) -> Self:
        """Return the position of a checkpoint.

        Raises:
            InputError: it is not a position of this version.
        """
        return read_model(checkpoint / POSITION, cls, "start the run again with another --out", limit=None)


class RunFolder:
    """A run of `diva train`, or of a stage of LLaVA's, which has these files as well and its model beside them.

    Attributes:
        path: of the folder.
        recipe: every field with its value.
        metrics: a `MetricsLine` every few steps.
        log: warnings, with their times.
        tower, moving_average: in open_clip's format, once the run is done.
        projection, denoiser: what else was trained, for later runs.
        checkpoint_folder: holds the checkpoints.
    """

    def __init__(self, path: Path) -> None:
        """Name what lies, or is to lie, in `path`."""
        self.path = path
        self.recipe, self.metrics, self.log = path / RECIPE, path / METRICS, path / "train.log"
        self.tower, self.moving_average = path / "tower", path / "tower-ema"
        self.projection, self.denoiser = path / "projection.safetensors", path / "denoiser"
        self.checkpoint_folder = path / "checkpoints"

    def check_new(self) -> None:
        """Check that a new run replaces nothing but what one left that never reached a checkpoint.

        Raises:
            InputError: there is a recipe that no run wrote, or metrics without a recipe.
        """
        if self.recipe.exists():
            try:
                ours = self.recipe.read_text(encoding="utf-8") == to_yaml(self.read_recipe())
            except InputError:
                ours = False
            if not ours:
                raise Occupied(self.recipe, "no run wrote this, and it would be lost; choose another --out")
        elif self.metrics.exists():
            raise Occupied(self.metrics, "lies there without a run, and would be lost; choose another --out")

    @classmethod
    def around(cls, place: Path) -> Self | None:
        """Return the run that `place`, a weights file or a tower's folder, belongs to or is; None without one."""
        folder = place if place.is_dir() else place.parent
        # a run's tower lies in a folder of the run's, those of its checkpoints one deeper
        found = (cls(path) for path in (folder, *list(folder.parents)[:2]))
        return next((run for run in found if run.recipe.is_file()), None)

    @property
    def is_language_model(self) -> bool:
        """Whether it is a stage of LLaVA's, whose recipe has other fields than a `Recipe`."""
        return (self.path / "config.json").is_file()

    def kept_tower(self, step: int) -> Path:
        """Return the folder of the tower that is kept beside the checkpoint of `step`."""
        return self.path / "towers" / _name(step)

    def checkpoint(self, step: int) -> Path:
        """Return the folder of the checkpoint after `step` updates."""
        return self.checkpoint_folder / _name(step)

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints, oldest first; what has happened to their files since is not looked at.

        LLaVA's are called `checkpoint-N` by transformers' Trainer, which writes them in place: one that is not
        sealed was cut off, and does not count.
        """
        named = ((path, _CHECKPOINT.fullmatch(path.name)) for path in self.checkpoint_folder.glob("*-*"))
        return sorted((path for path, name in named if name and not (name[1] and not is_sealed(path))), key=step_of)

    def newest_checkpoint(self) -> tuple[Path | None, list[str]]:
        """Return the newest checkpoint whose files are what was written, and what is wrong with newer ones.

        It is None where there are none. What processes that were killed left half written or half removed is
        cleared away: nobody else may be at work here.

        Raises:
            InputError: there are checkpoints, but each is damaged.
        """
        for path in self.checkpoint_folder.glob(".step-*.tmp"):
            discard(path)
        whole, damaged = newest_whole(self.checkpoints())
        if damaged and whole is None:
            raise Damaged(
                f"{'; '.join(damaged)}; no checkpoint is intact: restore one, or start again with another --out"
            )
        return whole, [f"{what}; continuing from {whole.name}" for what in damaged if whole]

    def read_recipe(self) -> Recipe:
        """Return the run's recipe.

        Raises:
            InputError: it is missing, or is not a recipe.
        """
        return load_recipe(str(self.recipe))

    def lock(self) -> AbstractContextManager[int]:
        """Hold the folder for this process, as `diva.lock.locked` does."""
        return locked(self.path)


def read_metrics(path: Path) -> list[MetricsLine]:
    """Return every whole line of a `metrics.jsonl`; the run may be writing the next one.

    Raises:
        InputError: the file cannot be read, holds no line, or one that is not of this kind.
    """
    texts = read_file(path, MAX_METRICS).split(b"\n")[:-1]
    if not texts:
        raise Missing(path, "has no lines yet; wait for the run's first steps")
    return [_line(path, number, text) for number, text in enumerate(texts, start=1)]


def step_of(checkpoint: Path) -> int:
    """Return after how many updates a checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])


def _line(path: Path, number: int, text: bytes) -> MetricsLine:
    try:
        return MetricsLine.model_validate_json(text)
    except ValidationError as error:
        raise Damaged(
            path, f"line {number}", "is not a step of a training run; copy the file from the run's folder again"
        ) from error


def _name(step: int) -> str:
    return f"step-{step:08d}"
