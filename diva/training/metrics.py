"""What a run says while it goes on: a line of JSON every few steps, a progress bar, and trackers."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import psutil
import torch
from accelerate import Accelerator
from pydantic import ValidationError
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from diva.atomic import replacing
from diva.documents import read_file
from diva.errors import RunError
from diva.run_folder import MetricsLine

logger = logging.getLogger("diva.training")
OnLine = Callable[[MetricsLine], None]


class Metrics:
    """Writes `metrics.jsonl`, the bar and accelerate's trackers, on the main process alone."""

    def __init__(
        self, accelerator: Accelerator, path: Path, *, total: int, start: int, on_line: OnLine | None
    ) -> None:
        """Continue the metrics of a run at step `start` of `total`; later lines and damaged ones are dropped.

        Args:
            on_line: called with each line, in place of the bar.
        """
        self._accelerator, self._path, self._on_line = accelerator, path, on_line
        if accelerator.is_main_process:
            _truncate(path, start)
        self._bar = Progress(
            TextColumn("{task.fields[stage]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[shown]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            disable=on_line is not None or not accelerator.is_main_process,
        )
        self._task = self._bar.add_task("", total=total, completed=start, stage="starting", shown="")
        self._mark = (time.perf_counter(), 0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def write(self, step: int, stage: str, images: int, values: Mapping[str, Any]) -> None:
        """Record `values` of `step`, with the speed since the last call.

        Raises:
            RunError: the disk refused the line.
        """
        (then, before), now = self._mark, time.perf_counter()
        speed = (images - before) / (now - then) if before else None
        line = MetricsLine(
            step=step,
            stage=stage,
            images=images,
            **values,
            images_per_second=speed,
            memory_gib=_memory_gib(self._accelerator.device),
        )
        self._mark = (now, images)
        if self._accelerator.is_main_process:
            try:
                with self._path.open("a") as file:
                    file.write(line.model_dump_json(exclude_unset=True) + "\n")
            except OSError as error:
                raise RunError(
                    f"{self._path}: cannot be written ({error.strerror}); free the disk and go on with --resume"
                ) from error
            if self._on_line:
                self._on_line(line)
        numbers = {key: value for key, value in dict(line).items() if isinstance(value, int | float)}
        self._accelerator.log(numbers, step=step)
        shown = f"loss {values['loss']:.4f}  {f'{speed:.1f} images/s  ' if speed else ''}{line.memory_gib:.1f} GiB"
        self._bar.update(self._task, completed=step, stage=stage, shown=shown)


def _truncate(path: Path, start: int) -> None:
    if not path.exists():
        return
    # a run that was cut off while it wrote leaves a last line without an end
    lines = read_file(path, limit=None).split(b"\n")[:-1]
    steps = [_step(line) for line in lines]
    if damaged := steps.count(None):
        logger.warning("%s: %d damaged lines were dropped", path, damaged)
    kept = [line + b"\n" for line, step in zip(lines, steps, strict=True) if step is not None and step <= start]
    with replacing(path) as temporary:
        temporary.write_bytes(b"".join(kept))


def _step(line: bytes) -> int | None:
    """Return the number of updates that a line of metrics was written after, or None where it is damaged."""
    try:
        return MetricsLine.model_validate_json(line).step
    except ValidationError:
        return None


def _memory_gib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return psutil.Process().memory_info().rss / 2**30
