"""What training draws: anew in every iteration and on every process, and the same again when a run is resumed."""

from types import SimpleNamespace
from typing import Any

import torch

from diva_downstream.segmentation.plain_checkpoint import PlainCheckpoint


def draws(iteration: int, *, rank: int, after: int) -> list[float]:
    """Return what process `rank` draws in `iteration`, having drawn `after` numbers before."""
    runner: Any = SimpleNamespace(seed=3, rank=rank)  # what the hook reads of mmengine's
    torch.rand(after)
    PlainCheckpoint().before_train_iter(runner, iteration)
    return torch.rand(4).tolist()


def test_a_process_draws_the_same_in_an_iteration_whatever_was_drawn_before() -> None:
    with torch.random.fork_rng():
        for rank in (0, 1):
            assert draws(7, rank=rank, after=0) == draws(7, rank=rank, after=5 + rank)


def test_processes_and_iterations_draw_differently() -> None:
    with torch.random.fork_rng():
        drawn = [draws(iteration, rank=rank, after=0) for rank in (0, 1) for iteration in (0, 1)]
    assert len({tuple(each) for each in drawn}) == 4
