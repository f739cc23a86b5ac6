"""The trial of a run: what it leaves, and what it says against a closed form."""

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch.optim.optimizer import register_optimizer_step_pre_hook

import diva as diva_package
from diva.errors import Mismatch
from diva.recipes import Recipe
from diva.training import train
from diva.training.trial import Trial, reduced, told, try_out
from tests.test_cli import Command, diva  # noqa: F401 - a fixture

Tiny = Callable[..., Recipe]
CPU = torch.device("cpu")
GIB = 2**30


def test_a_trial_goes_through_all_and_leaves_nothing(tiny: Tiny, tmp_path: Path) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    console = Console(record=True, width=300, quiet=False, file=(tmp_path / "said").open("w"))
    recipe = tiny("diagnostics.every=10", "stages.0.warmup=0.5", "training.ema_decay=0.9")
    try_out(recipe, tmp_path / "run", console=console)
    first, time, memory, disk = console.export_text().splitlines()
    assert first.startswith("trial on cpu: 3 updates a stage of 1 image(s) at 32 px")
    assert "(20 updates of 4 images)" in time
    assert "GiB" in memory
    assert disk.startswith("disk: ")
    left = sorted(path.name for path in tmp_path.iterdir() if path.name not in ("said", "tiny.yaml"))
    assert left == [name for name in before if name != "tiny.yaml"]
    train(tiny("stages.0.steps=1"), tmp_path / "run")  # which refuses what no run wrote


def test_a_trial_beside_a_run_leaves_it_alone(tiny: Tiny, tmp_path: Path) -> None:
    recipe = tiny("stages.0.steps=1")
    train(recipe, tmp_path / "run")
    names = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    try_out(recipe, tmp_path / "run", console=Console(quiet=True))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == names


def test_its_updates_are_small_and_every_rate_is_above_0(tiny: Tiny) -> None:
    recipe = tiny(
        "training.global_batch=64", "training.micro_batch=16", "data.image_size=512", "stages.0.warmup=0.5"
    )
    small = reduced(recipe, CPU, processes=1)
    assert (small.training.global_batch, small.training.micro_batch, small.data.image_size) == (1, 1, 192)
    assert (small.stages[0].warmup, small.training.frozen_dtype) == (0, "float32")
    on_gpu = reduced(recipe, torch.device("cuda"), processes=2)
    assert (on_gpu.training.global_batch, on_gpu.training.micro_batch, on_gpu.data.image_size) == (64, 16, 512)
    assert reduced(tiny("data.latents=somewhere", "data.image_size=512"), CPU, 1).data.image_size == 512
    assert type(recipe).model_validate(small.model_dump()) == small


def test_what_a_run_takes_is_the_sum_over_stages_and_counts_the_disk_that_it_needs_at_once(tiny: Tiny) -> None:
    stages = [
        "stages=[{steps: 10}, {images: 100}]",
        "training.keep_checkpoints=3",
        "training.checkpoint_every=10",
        "training.global_batch=4",
    ]
    recipe = tiny(*stages, "data.image_size=512")
    found = Trial(reduced(recipe, CPU, 1), CPU, [0.5, 2.0], 2 * GIB, 16 * GIB, (5 * GIB, 2 * GIB, GIB))
    _, time, memory, disk = told(recipe, found, 20 * GIB)
    # 10 updates of 4 images at half a second, 25 at two, and 64/9 times the pixels: 64/9 * (20 + 200) s
    assert "2, 0.5 images/s; the whole run (35 updates of 4 images) takes at most 0:26:04" in time
    assert memory.startswith("memory: 2.0 of 16.0 GiB; ")
    assert disk == (
        "disk: 29.0 GiB for 3 checkpoints, the towers beside them and what is written at the end,"
        " 20.0 GiB are free: TOO LITTLE"
    )


def test_the_command_prints_it_and_takes_no_resume(tiny: Tiny, tmp_path: Path, diva: Command) -> None:  # noqa: F811
    tiny()
    words = ("train", tmp_path / "tiny.yaml", "--out", tmp_path / "run", "--trial")
    done = diva(*words)
    assert (done.status, "trial on cpu" in done.err) == (0, True)
    assert not (tmp_path / "run").exists()
    assert diva(*words, "--resume").status == 2


def test_a_mistake_is_told_by_the_trial_as_by_the_run(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(Mismatch, match="token_by_token"):
        try_out(tiny("condition.tokens.count=9"), tmp_path / "run", console=Console(quiet=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.yaml"]


def test_the_command_is_six_frames_in_four_files_from_the_optimisers_step(
    tiny: Tiny,
    tmp_path: Path,
    diva: Command,  # noqa: F811
) -> None:
    stacks: list[traceback.StackSummary] = []
    hook = register_optimizer_step_pre_hook(lambda *_: stacks.append(traceback.extract_stack()))
    tiny("stages.0.steps=1")
    try:
        assert diva("train", tmp_path / "tiny.yaml", "--out", tmp_path / "run").status == 0
    finally:
        hook.remove()
    places = [(frame.filename, frame.name) for frame in stacks[0]]
    inside = places[next(at for at, (file, name) in enumerate(places) if file.endswith("cli/core.py")) :]
    ours = [(file, name) for file, name in inside if Path(diva_package.__file__).parent in Path(file).parents]
    assert ours[0][1] == "train"
    assert len(ours) <= 6, ours
    assert len({file for file, _ in ours}) <= 4
