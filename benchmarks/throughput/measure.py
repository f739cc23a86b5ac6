"""Timing updates, and what the device can do at best."""

import time
from dataclasses import dataclass
from itertools import pairwise

import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from diva_benchmarks.throughput.stopwatch import synchronise, watching
from diva_benchmarks.throughput.updates import OTHER, TrainerUpdate

PEAK_REPEATS = 5
PEAK_SIDES = {"cuda": 8192, "cpu": 2048}  # of the matrices


@dataclass(frozen=True)
class Measurement:
    """What some updates cost.

    Attributes:
        images: of an update, over all processes.
        seconds: of each update.
        split: seconds of an update by part, measured on further updates.
        memory: bytes: on a GPU the most that was allocated, on a CPU the process's resident memory.
        losses: of the timed updates.
    """

    images: int
    seconds: tuple[float, ...]
    split: dict[str, float]
    memory: int
    losses: tuple[float, ...]

    @property
    def images_per_second(self) -> float:
        """Images over all updates' time."""
        return self.images * len(self.seconds) / sum(self.seconds)


def measure(update: TrainerUpdate, *, warmup: int, updates: int) -> Measurement:
    """Time `updates` updates after `warmup` ones, then split the time of as many more."""
    for _ in range(warmup):
        update.make()
    synchronise(update.device)
    if update.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(update.device)
    losses, ends = [], [time.perf_counter()]
    for _ in range(updates):
        losses.append(update.make())
        # one wait an update, outside of it: one that never waits inside loses next to nothing
        synchronise(update.device)
        ends.append(time.perf_counter())
    memory = _memory(update.device)
    with watching(update) as watch:
        for _ in range(updates):
            update.make(watch.mark)
        watch.mark(OTHER)
    return Measurement(
        images=update.images,
        seconds=tuple(end - start for start, end in pairwise(ends)),
        split={name: seconds / updates for name, seconds in watch.seconds().items()},
        memory=memory,
        losses=tuple(float(loss) for loss in losses),
    )


def flops(update: TrainerUpdate) -> int:
    """Count the floating-point operations of one update, by torch's counter; compiled code hides from it."""
    with FlopCounterMode(display=False) as counter:
        update.make()
    return counter.get_total_flops()


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Return the FLOP/s of the fastest of some large square matrix products in `dtype`."""
    side = PEAK_SIDES.get(device.type, 4096)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    fastest = float("inf")
    for _ in range(PEAK_REPEATS + 1):  # the first also loads the kernel
        synchronise(device)
        start = time.perf_counter()
        a @ b
        synchronise(device)
        fastest = min(fastest, time.perf_counter() - start)
    return 2 * side**3 / fastest


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return psutil.Process().memory_info().rss
