"""Reading `metrics.jsonl`, the line of numbers that a training run writes every few steps."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from diva.documents import read_file
from diva.errors import InputError
from diva_benchmarks.report.content import Panel, Series, Training

METRICS = "metrics.jsonl"
MAX_BYTES = 2**30  # of a file, which grows with every step
POINTS = 400  # a curve on a page shows no more
DIAGNOSED = ("loss_right", "loss_shuffled", "loss_empty")  # on the fixed grid of images, by condition
PANELS = {"loss": "Loss", "grad_norm": "Gradient norm before clipping", "lr": "Learning rate"}


class _Line(BaseModel):
    """One line; every number beside these fields is a curve."""

    model_config = ConfigDict(extra="allow")

    step: int
    stage: str = ""
    images: int | None = None
    skipped: int | None = None
    images_per_second: FiniteFloat | None = None
    memory_gib: FiniteFloat | None = None

    @property
    def curves(self) -> dict[str, float]:
        return {key: value for key, value in (self.model_extra or {}).items() if _is_number(value)}


def read_training(path: Path) -> Training:
    """Read a run's `metrics.jsonl`; the run is called after its folder.

    Loss, gradient norms and learning rate have a panel each, and so has every further number that a line holds,
    those of one prefix ("probe/colour") together. Of a long run evenly spaced lines are kept.

    Raises:
        InputError: the file cannot be read, holds no line, or one that is not of this kind.
    """
    lines = _lines(path)
    speeds = [line.images_per_second for line in lines if line.images_per_second is not None]
    first_steps: dict[str, int] = {}
    for line in lines:
        first_steps.setdefault(line.stage, line.step)
    return Training(
        name=path.absolute().parent.name,
        path=str(path),
        steps=lines[-1].step,
        images=lines[-1].images,
        images_per_second=sum(speeds) / len(speeds) if speeds else None,
        memory_gib=max((line.memory_gib for line in lines if line.memory_gib is not None), default=None),
        stages=first_steps,
        panels=_panels([lines[round(index)] for index in _evenly(len(lines))]),
    )


def _lines(path: Path) -> list[_Line]:
    texts = read_file(path, MAX_BYTES).split(b"\n")[:-1]  # the run is writing the rest, or was killed while it did
    if not texts:
        raise InputError(f"{path}: holds no line yet; wait for the run's first steps")
    return [_line(path, number, text) for number, text in enumerate(texts, start=1)]


def _line(path: Path, number: int, text: bytes) -> _Line:
    try:
        return _Line.model_validate_json(text)
    except ValidationError as error:
        raise InputError(
            f"{path}: line {number}: is no step of a training run; copy the file from the run's folder again"
        ) from error


def _evenly(count: int) -> Sequence[float]:
    if count <= POINTS:
        return range(count)
    return [index * (count - 1) / (POINTS - 1) for index in range(POINTS)]


def _panels(lines: Sequence[_Line]) -> list[Panel]:
    panels: dict[str, list[Series]] = {title: [] for title in PANELS.values()}
    for key in dict.fromkeys(key for line in lines for key in line.curves):
        points = [(line.step, line.curves[key]) for line in lines if key in line.curves]
        series = Series(name=key, steps=[step for step, _ in points], values=[value for _, value in points])
        panels.setdefault(_panel(key), []).append(series)
    return [Panel(title=title, series=series) for title, series in panels.items() if series]


def _panel(key: str) -> str:
    if key in DIAGNOSED:
        return "Loss on the fixed images, by condition"
    for start, title in PANELS.items():
        if key == start or key.startswith(f"{start}_"):
            return title
    return key.split("/")[0].replace("_", " ").capitalize()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
