"""Splitting the time of updates into parts, on the device's own time line and without making it wait."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch

from diva_benchmarks.throughput.updates import OTHER, TrainerUpdate

DENOISER, BACKWARD, OPTIMISER = "UNet forward", "backward", "optimiser"


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Stopwatch:
    """Knows what the device was doing between any two marks."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._marks: list[tuple[str, torch.cuda.Event | float]] = []

    def mark(self, name: str) -> None:
        """Say that what the device is given from here on is `name`."""
        if self._device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append((name, event))
        else:
            self._marks.append((name, time.perf_counter()))

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each name, summed; what follows the last mark does not count."""
        synchronise(self._device)
        total: dict[str, float] = {}
        for (name, start), (_, end) in pairwise(self._marks):
            total[name] = total.get(name, 0.0) + _between(start, end)
        return total


@contextmanager
def watching(update: TrainerUpdate) -> Iterator[Stopwatch]:
    """Mark the forward passes of the update's networks and its optimiser while the block runs.

    What follows the denoiser counts as backward pass: the loss, the pass itself, and the norms of the gradients.
    """
    watch = Stopwatch(update.device)
    hooks = []
    for name, network in update.networks.items():
        hooks.append(network.register_forward_pre_hook(lambda *_, name=name: watch.mark(name)))
        then = BACKWARD if name == DENOISER else OTHER
        hooks.append(network.register_forward_hook(lambda *_, then=then: watch.mark(then)))
    hooks.append(update.optimizer.register_step_pre_hook(lambda *_: watch.mark(OPTIMISER)))
    hooks.append(update.optimizer.register_step_post_hook(lambda *_: watch.mark(OTHER)))
    try:
        yield watch
    finally:
        for hook in hooks:
            hook.remove()


def _between(start: torch.cuda.Event | float, end: torch.cuda.Event | float) -> float:
    if isinstance(start, float) or isinstance(end, float):
        assert isinstance(start, float)
        assert isinstance(end, float)
        return end - start
    return start.elapsed_time(end) / 1000
