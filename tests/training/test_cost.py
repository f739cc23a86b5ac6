"""What a step computes and what it allocates: nothing beyond the sum of its parts."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from diva.denoisers import Context
from diva.recipes import Recipe
from diva.towers import load_clip
from diva.training.build import build_accelerator, build_trainer
from diva.training.trainer import Trainer

Tiny = Callable[..., Recipe]


@pytest.fixture
def trainer(tiny: Tiny, tmp_path: Path) -> Trainer:
    recipe = tiny("training.micro_batch=4", "feedback.samples_per_image=3", "stages.0.steps=1")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    return build_trainer(
        recipe, build_accelerator(recipe, tmp_path), load_clip(recipe.tower.name), tmp_path / "run"
    )


def flops(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def test_a_step_computes_its_parts_and_nothing_else(trainer: Trainer) -> None:
    student, denoiser = trainer.student, trainer.denoiser
    assert isinstance(denoiser, nn.Module)
    images, samples = 4, 3
    rgb = torch.rand(images, 3, 32, 32)
    pixels, latents = trainer.tower_input.from_rgb(rgb), denoiser.encode(rgb)
    choice = torch.zeros(samples, images, 16, dtype=torch.int64)
    context = student(pixels, choice).context.tokens.detach()
    noisy, timesteps = latents.repeat(samples, 1, 1, 1), torch.zeros(samples * images, dtype=torch.int64)

    def judge() -> None:
        reads = context.clone().requires_grad_()
        denoiser(noisy, timesteps, Context(reads, None)).square().mean().backward()

    encode = flops(lambda: denoiser.encode(rgb))
    tower = flops(lambda: student.tower(pixels))
    tower_both_ways = flops(lambda: sum(t.square().mean() for t in student.tower(pixels)).backward())
    project = 2 * samples * images * 17 * student.condition.projection.weight.numel()
    unet = flops(lambda: denoiser(noisy, timesteps, Context(context, None)))
    unet_both_ways = flops(judge)
    student.zero_grad()
    parts = encode + tower_both_ways + 3 * project + unet_both_ways

    step = flops(lambda: trainer.run(None))
    assert step == pytest.approx(parts, rel=0.03)
    # the tower once an image, forward and backward; the UNet backward to its context alone, without its weights
    assert tower_both_ways == pytest.approx(3 * tower, rel=0.05)
    assert unet_both_ways < 2.1 * unet


def test_nothing_frozen_ever_has_a_gradient_or_optimiser_state(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = [
        {"train": ["projection"], "steps": 2, "optimizer": {"type": "adamw"}},
        {"train": ["tower", "projection"], "steps": 2, "optimizer": {"type": "adamw"}},
    ]
    recipe = tiny(stages=stages)
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    clip = load_clip(recipe.tower.name)
    trainer = build_trainer(recipe, build_accelerator(recipe, tmp_path), clip, tmp_path / "run")
    stepped: list[set[int]] = []
    step = torch.optim.AdamW.step

    def watched_step(optimizer: torch.optim.AdamW, *args: object, **kwargs: object) -> object:
        done = step(optimizer, *args, **kwargs)
        stepped.append({id(parameter) for parameter in optimizer.state})
        return done

    monkeypatch.setattr(torch.optim.AdamW, "step", watched_step)
    trainer.run(None)
    projection = {id(parameter) for parameter in trainer.student.condition.parameters()}
    tower = {id(parameter) for parameter in trainer.student.tower.parameters()}
    assert stepped == [projection] * 2 + [projection | tower] * 2
    assert isinstance(trainer.denoiser, nn.Module)
    text = [parameter for name, parameter in clip.model.named_parameters() if not name.startswith("visual.")]
    frozen = [*trainer.denoiser.parameters(), *text]
    assert all(parameter.grad is None for parameter in frozen)
    assert not any(parameter.requires_grad for parameter in trainer.denoiser.parameters())
    assert not trainer.denoiser.training


def test_gradient_checkpointing_changes_no_number(tiny: Tiny, tmp_path: Path) -> None:
    norms = []
    for level in ("none", "unet", "both"):
        recipe = tiny(f"training.checkpoint_activations={level}", "stages.0.steps=1")
        folder = tmp_path / level
        (folder / "checkpoints").mkdir(parents=True)
        torch.manual_seed(0)  # the projection's start
        trainer = build_trainer(recipe, build_accelerator(recipe, folder), load_clip(recipe.tower.name), folder)
        trainer.run(None)
        norms.append((folder / "metrics.jsonl").read_text().split('"images_per_second"')[0])
    assert norms[0] == norms[1] == norms[2]
