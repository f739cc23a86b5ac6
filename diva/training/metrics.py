"""What a run says while it goes on: a line of JSON every few steps, a phase, and trackers."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import psutil
import torch
from accelerate import Accelerator
from pydantic import ValidationError

from diva.atomic import replacing
from diva.documents import read_file
from diva.errors import WriteFailed
from diva.progress import phase
from diva.run_folder import MetricsLine

logger = logging.getLogger("diva.training")
OnLine = Callable[[MetricsLine], None]


class Metrics:
    """Writes `metrics.jsonl`, on the main process alone, and accelerate's trackers.

    Attributes:
        phase: of the whole run, in updates.
    """

    def __init__(
        self, accelerator: Accelerator, path: Path, *, total: int, start: int, on_line: OnLine | None = None
    ) -> None:
        """Continue the metrics of a run at step `start` of `total`; later lines and damaged ones are dropped.

        Args:
            on_line: called with each line.
        """
        self._accelerator, self._path, self._on_line = accelerator, path, on_line
        if accelerator.is_main_process:
            _truncate(path, start)
        self._open = ExitStack()
        self.phase = self._open.enter_context(phase("updates", total, done=start))
        self._mark = (time.perf_counter(), 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

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
                raise WriteFailed(
                    self._path, f"cannot be written ({error.strerror}); free the disk and go on with --resume"
                ) from error
            if self._on_line:
                self._on_line(line)
        numbers = {key: value for key, value in dict(line).items() if isinstance(value, int | float)}
        self._accelerator.log(numbers, step=step)
        pace = f", {speed:.3g} images/s" if speed else ""
        self.phase.note = f"{stage}, loss {values['loss']:.4f}{pace}, {line.memory_gib:.1f} GiB"


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
