"""Updates on a GPU against the same ones on the CPU."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from rich.console import Console
from torch import Tensor

from diva.recipes import Recipe, load_recipe
from diva.towers import load_clip
from diva.training.build import build_accelerator, build_trainer
from diva.training.run import train
from diva.training.trial import try_out
from diva_benchmarks.throughput.pictures import write_pictures
from diva_benchmarks.throughput.random_weights import SHAPES, write_random_stable_diffusion
from tests.training.test_run import metrics

pytestmark = pytest.mark.gpu
Tiny = Callable[..., Recipe]
LOSS, COSINE = 0.02, 0.98  # bfloat16 has 8 bits: its losses may be 2 % off, its gradients must point the same way


def update(recipe: Recipe, folder: Path, monkeypatch: pytest.MonkeyPatch, *, cpu: bool) -> tuple[Tensor, Tensor]:
    """Return the losses of one update, and its change of the tower's projection, on the CPU."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", str(cpu).lower())
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.manual_seed(recipe.seed)  # of the condition's projection
    accelerator = build_accelerator(recipe, folder)
    assert (accelerator.device.type == "cpu") == cpu
    trainer = build_trainer(recipe, accelerator, load_clip(recipe.tower.name), folder)
    before = copy.deepcopy(trainer.student.tower.state_dict()["visual.proj"].cpu())
    with trainer.loader:
        losses = trainer.update(trainer.prepare(0), trainer.prefetcher).losses.cpu()
    return losses, trainer.student.tower.state_dict()["visual.proj"].cpu() - before


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ("training.precision=bf16", "training.frozen_dtype=bfloat16"),
        ("training.compile=regional",),
        ("training.checkpoint_activations=both",),
    ],
)
def test_an_update_is_that_of_the_cpu(
    fields: tuple[str, ...], tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sgd = "stages=[{steps: 9, warmup: 0, optimizer: {type: sgd, lr: 0.1}}]"
    expected, moved = update(tiny(sgd), tmp_path, monkeypatch, cpu=True)
    losses, ours = update(tiny(sgd, *fields), tmp_path, monkeypatch, cpu=False)
    torch.testing.assert_close(losses, expected, rtol=LOSS, atol=0)
    assert torch.cosine_similarity(ours.flatten(), moved.flatten(), dim=0) > COSINE


def test_a_run_with_workers_goes_through_and_measures_its_memory(tiny: Tiny, tmp_path: Path) -> None:
    train(tiny("data.workers=2", "stages.0.steps=4", "diagnostics.every=2"), tmp_path / "run")
    assert all(line["memory_gib"] > 0 for line in metrics(tmp_path / "run"))


@pytest.mark.parametrize("name", ["diva/openai-vit-l14-224", "dcr/openai-vit-l14-224"])
def test_a_full_size_recipe_is_tried_out(name: str, tmp_path: Path) -> None:
    teacher = write_random_stable_diffusion(tmp_path / "teacher", SHAPES["stable-diffusion-2-1-base"])
    fields = [
        *("tower.checkpoint=null", "tower.random_weights=true", f"denoiser.path={teacher}", "data.workers=2"),
        f"data.source={write_pictures(tmp_path / 'pictures', shards=4, images=32, size=512)}",
    ]
    said = Console(record=True, width=300)
    try_out(load_recipe(name, fields), tmp_path / "run", console=said)
    assert "trial on cuda" in said.export_text()
