"""The one result file that every benchmark and pipeline writes, and that the report reads.

A result says what was measured (tower, task, settings, data), the metrics with their sample counts and 95 %
intervals, the outcome of every item (so that two towers can be compared item by item), and what is needed to run it
again. Nothing here imports torch: the report must open on any machine. Files of version 1 are read, too
(`diva.results_v1`).
"""

import importlib.metadata
import platform
import re
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from diva import __version__
from diva.atomic import write_json
from diva.documents import FileName, parse_model, read_file
from diva.errors import Damaged, Invalid
from diva.results_v1 import read_version_1

SCHEMA: Final = 2
PACKAGES = (
    "torch",
    "torchvision",
    "open_clip_torch",
    "timm",
    "transformers",
    "diffusers",
    "peft",
    "lm_eval",
    "mmsegmentation",
    "numpy",
)


class _Strict(BaseModel):
    # JSON has no NaN: a figure that could not be computed must be left out, not written as one
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Subject(_Strict):
    """The tower that was measured."""

    label: str = Field(description="the name that tables and plots show")
    source: str = Field(description="zoo name, file or folder, as the user gave it")
    architecture: str
    sha256: str = Field(description="SHA-256 of the checkpoint's weights file")
    recipe: str | None = Field(default=None, description="the recipe that trained it, where known")
    share: float | None = Field(
        default=None, ge=0, le=1, description="of the trained tower, where it was averaged with its base"
    )


class DataSource(_Strict):
    """The data that it was measured on."""

    name: str
    path: str
    fingerprint: str = Field(description="SHA-256 over the data set's files")
    items: int = Field(ge=0)


class Metric(_Strict):
    """One number with its sample count and its 95 % interval; `interval` is null where none can be given."""

    value: float
    unit: Literal["percent", "ratio", "count", "images/s", "seconds", "bytes", "score", "TFLOP", "TFLOP/s"]
    n: int = Field(ge=1, description="items that the value rests on")
    interval: tuple[float, float] | None = None
    spread: float | None = Field(default=None, description="sample standard deviation over the seeds")
    higher_is_better: bool = True
    breakdown: str = Field(default="", description="what the whole was divided by, where this is one part of it")


class Missing(_Strict):
    """A part of the task that was asked for and has no figure."""

    name: str
    reason: Literal["absent", "failed"] = Field(description="its data were not there, or it could not be measured")


class Item(_Strict):
    """The outcome of one item; the headline metric averages `outcome` (1 right, 0 wrong, or a share)."""

    id: str
    group: str
    outcome: float
    details: dict[str, float | str | list[int]] = {}
    pictures: list[FileName] = Field(default=[], description="PNG files beside the result file that show it")

    def number(self, name: str) -> float:
        """Return a detail that is a number.

        Raises:
            InputError: the item has none of that name.
        """
        value = self.details.get(name)
        if not isinstance(value, float):
            raise Damaged(f"item {self.id}", f"details.{name}", "is not a number; measure again")
        return value


class Comparison(_Strict):
    """This tower minus the baseline on the same items."""

    metric: str
    difference: float
    interval: tuple[float, float] | None = None
    test: str | None = Field(default=None, description="of this very difference")
    p_value: float | None = Field(default=None, ge=0, le=1)
    wins: int | None = Field(default=None, ge=0, description="items on which this tower is the better")
    losses: int | None = Field(default=None, ge=0, description="items on which the baseline is the better")
    margin: float | None = Field(
        default=None, ge=0, description="the loss that was said beforehand to count as preserved"
    )


class Run(_Strict):
    """How it was measured: enough to do it again."""

    command: list[str] = Field(description="as typed; its relative paths are from the folder that it was typed in")
    started: datetime
    wall_seconds: float
    peak_memory_bytes: int = Field(description="peak resident memory of the process")
    seeds: list[int]
    versions: dict[str, str]
    device: str


class Result(_Strict):
    """One evaluation of one tower, optionally beside the same evaluation of a baseline."""

    schema_version: Literal[2] = SCHEMA
    task: str = Field(description="the name of a `diva.tasks.Task`")
    part: str = Field(default="", description="the set, split or benchmark of a task that has several")
    headline: str = Field(description="the metric that stands for the whole")
    settings: dict[str, str | int | float] = Field(
        default={}, description="what two results must have in common, beside task and data, to be compared"
    )
    subject: Subject
    data: DataSource
    metrics: dict[str, Metric]
    missing: list[Missing] = []
    items: list[Item]
    run: Run
    baseline: "Result | None" = None
    comparisons: list[Comparison] = []

    @property
    def measured(self) -> str:
        """The task with its part, such as "zero-shot/cifar10"."""
        return f"{self.task}/{self.part}" if self.part else self.task

    @property
    def protocol(self) -> str:
        """The settings in words: a text speaks for itself, a number needs its name."""
        words = (value if isinstance(value, str) else f"{name} {value:g}" for name, value in self.settings.items())
        return " · ".join(words)


def write_result(result: Result, path: Path) -> None:
    """Write `result` as JSON to `path`; an existing file is replaced only by a complete one.

    Raises:
        InputError: a folder, a link, a device or the like lies at `path`.
        RunError: the place cannot be written to.
    """
    write_json(result, path)


def read_result(path: Path) -> Result:
    """Read a result file.

    Raises:
        InputError: the file cannot be read, is not JSON, or follows the schema of no version up to this one.
    """
    content = read_file(path)
    try:
        if older := read_version_1(content):
            return Result.model_validate(older)
        return parse_model(content, Result)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        remedy = "read it with the version of diva that wrote it" if field == "schema_version" else "measure again"
        raise Invalid(
            path, field, f"{first['msg']}; this is not a result file of schema 1 or {SCHEMA}: {remedy}"
        ) from error


class Clock:
    """Collects what `Run` records while a measurement goes on."""

    def __init__(self, seeds: list[int], device: str) -> None:
        self._seeds, self._device = seeds, device
        self._started, self._begin = datetime.now(UTC), time.perf_counter()

    def stop(self) -> Run:
        """Return the record of the run from the clock's start until now."""
        return Run(
            command=_command(sys.argv),
            started=self._started,
            wall_seconds=time.perf_counter() - self._begin,
            peak_memory_bytes=peak_memory_bytes(),
            seeds=self._seeds,
            versions=installed_versions(),
            device=self._device,
        )


def _command(arguments: Sequence[str]) -> list[str]:
    """Return what a user types for `arguments`; `python -m diva.cli`, as launchers start it, is `diva`.

    Of a web address only scheme and host are kept: the rest may hold a secret.
    """
    program = Path(arguments[0])
    arguments = [
        re.sub(r"(https?://)(?:[^/@]*@)?([^/?#]*).*", r"\1\2", word, flags=re.DOTALL) for word in arguments
    ]
    return ["diva" if program.parts[-3:] == ("diva", "cli", "__main__.py") else program.name, *arguments[1:]]


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held, in bytes."""
    if platform.system() == "Linux":
        # getrusage would do, but there its peak outlives exec: a child starts with that of its parent
        fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def installed_versions() -> dict[str, str]:
    """Return the versions of Python, diva and the packages that figures depend on, without importing those."""
    return {"python": platform.python_version(), "diva": __version__} | dict(_installed())


def _installed() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
