"""The published schedule beside ours: the same losses and updates from the same draws, at its higher cost."""

from collections.abc import Callable

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from diva.recipes import Recipe
from diva.training.build import load_tower
from diva_benchmarks.throughput.updates import ReleasedUpdate, TrainerUpdate

Tiny = Callable[..., Recipe]

STAGES = [{"steps": 9, "warmup": 0.0, "optimizer": {"type": "sgd", "lr": 1e-1}}]


def losses(recipe: Recipe, kind: type[TrainerUpdate]) -> tuple[list[float], int]:
    """Return the losses of three updates and the operations of a fourth."""
    torch.manual_seed(0)  # the projection's start
    update = kind(recipe, load_tower(recipe))
    found = [float(update.make()) for _ in range(3)]
    with FlopCounterMode(display=False) as counter:
        update.make()
    update.close()
    return found, counter.get_total_flops()


@pytest.mark.parametrize("condition", ["token_by_token", "mean_text"])
def test_both_schedules_have_the_same_losses_update_for_update(tiny: Tiny, condition: str) -> None:
    recipe = tiny("training.micro_batch=4", f"condition.combine={condition}", stages=STAGES)
    ours, cheap = losses(recipe, TrainerUpdate)
    theirs, dear = losses(recipe, ReleasedUpdate)
    assert len(set(ours)) == 3
    assert ours == pytest.approx(theirs, rel=1e-4)
    assert dear > cheap


def test_an_update_says_what_it_is_doing(tiny: Tiny) -> None:
    recipe = tiny("training.micro_batch=4", stages=STAGES)
    update = ReleasedUpdate(recipe, load_tower(recipe))
    said: list[str] = []
    update.make(said.append)
    assert said == ["data", "other"]
    assert set(update.networks) == {"tower", "UNet forward", "VAE", "text"}
    assert update.images == 4
    trained = [p for part in ("tower", "condition") for p in getattr(update._trainer.student, part).parameters()]
    assert update.gradient_bytes == 4 * sum(parameter.numel() for parameter in trained)
    update.close()
