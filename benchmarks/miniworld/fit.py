"""A plain optimisation loop that goes on where it was killed, with the same result."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from diva.atomic import replacing
from diva.errors import Failed
from diva.miniworld.scene import generator
from diva.progress import phase
from diva.towers.checkpoint import read_content


class Schedule(BaseModel):
    """How long and how fast one network is trained.

    Attributes:
        steps: optimiser steps.
        batch: pictures a step.
        learning_rate: AdamW's, reached after the first twentieth of the steps.
        hold: share of the steps up to which it stays; from there, or from the first twentieth on, it falls to 0 on
            a cosine.
        weight_decay: AdamW's, on matrices only.
        save_every: steps between checkpoints.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int
    batch: int
    learning_rate: float
    hold: float = 0.0
    weight_decay: float = 0.01
    save_every: int = 50

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        warmup = max(1, self.steps // 20)
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        falling = max(warmup, round(self.hold * self.steps))
        progress = max(0, step - falling) / (self.steps - falling)
        return self.learning_rate * (1 + math.cos(math.pi * progress)) / 2


def fit(
    model: nn.Module,
    loss: Callable[[torch.Generator], Tensor],
    schedule: Schedule,
    *,
    key: tuple[int, ...],
    checkpoint: Path,
    title: str,
    enough: Callable[[], bool] | None = None,
) -> None:
    """Train `model` in place, from the checkpoint on where there is one.

    Args:
        model: its parameters that require gradients are trained.
        loss: returns a step's scalar loss; all its random choices come from the generator that it is given.
        schedule: steps, batch and learning rate.
        key: with the step's number, seeds that generator, so a resumed step draws what it would have drawn.
        checkpoint: file that holds weights, optimiser state and the number of steps done; left in place.
        title: what the training is called while it goes on.
        enough: asked at the start and after every checkpoint, so that a run that was killed hears the same answers;
            ends the training before the schedule does.

    Raises:
        RunError: the loss is no longer finite.
    """
    optimiser = _adamw(model, schedule)
    first = _resume(checkpoint, model, optimiser)
    with phase(title, schedule.steps, done=first) as shown:
        for step in range(first, schedule.steps):
            if enough is not None and step % schedule.save_every == 0 and enough():
                break
            for group in optimiser.param_groups:
                group["lr"] = schedule.rate(step)
            value = loss(generator(*key, step))
            if not torch.isfinite(value):
                raise Failed(title, f"the loss is {value.item()} at step {step}; lower the learning rate")
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            if (step + 1) % schedule.save_every == 0 or step + 1 == schedule.steps:
                _save(checkpoint, model, optimiser, step + 1)
            shown.advance()
            shown.note = f"loss {value.item():.4f}"


def _adamw(model: nn.Module, schedule: Schedule) -> torch.optim.AdamW:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim > 1]
    others = [parameter for parameter in trained if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        groups, lr=schedule.learning_rate, betas=(0.9, 0.98), weight_decay=schedule.weight_decay, fused=True
    )


def _resume(checkpoint: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    if not checkpoint.is_file():
        return 0
    state = read_content(checkpoint)
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


def _save(checkpoint: Path, model: nn.Module, optimiser: torch.optim.Optimizer, step: int) -> None:
    state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step}
    with replacing(checkpoint) as temporary:
        torch.save(state, temporary)
