"""FSDP2 changes what a process holds, and nothing of the result beyond the order of floating-point sums."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.checkpoint import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from diva.errors import Changed, Mismatch, Unsupported
from diva.recipes import Recipe, write_recipe
from diva.run_folder import RunFolder
from diva.training import train
from diva.training.build import build_accelerator
from tests.training.test_run import metrics, wait_for, weights

Tiny = Callable[..., Recipe]
SHARDED = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}


def start(recipe: Recipe, folder: Path, *options: str, processes: int = 2) -> subprocess.Popen[bytes]:
    """Start `diva train` in sharded processes."""
    path, root = folder.with_suffix(".yaml"), Path(__file__).parents[2]
    write_recipe(recipe, path)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.Popen(
        [*command, "-m", "tests.fixtures.sharded", "train", path, "--out", folder, *options],
        # the working directory is not searched where another test has run `diva` in this process
        env=os.environ | SHARDED | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(root)},
    )


def assert_close(run: Path, other: Path, recipe: Recipe) -> None:
    start = load_file(Path(recipe.tower.name) / "open_clip_model.safetensors")
    one, two = weights(run), weights(other)
    assert one.keys() == two.keys()
    moved = torch.cat([(one[key] - start[key]).flatten() for key in start]).norm()
    apart = torch.cat([(one[key] - two[key]).flatten() for key in one]).norm()
    assert moved > 0
    assert apart < 1e-4 * moved
    timed = {"stage", "images_per_second", "memory_gib", "warnings"}  # whose sentences hold figures
    for ours, theirs in zip(metrics(run), metrics(other), strict=True):
        assert ours.keys() == theirs.keys()
        for key in ours.keys() - timed:
            assert ours[key] == pytest.approx(theirs[key], rel=1e-3, abs=1e-5), key


@pytest.mark.slow
def test_two_sharded_processes_killed_and_resumed_end_where_one_whole_one_does(tiny: Tiny, tmp_path: Path) -> None:
    sgd = {"type": "sgd", "lr": 1e-1}
    stages = [
        {"train": ["projection"], "steps": 2, "warmup": 0.0, "optimizer": sgd},
        {"train": ["tower", "projection"], "steps": 8, "warmup": 0.0, "optimizer": sgd},
    ]
    looks = {"every": 2, "images": 4, "samples": 1}
    options = ["training.ema_decay=0.9", "training.micro_batch=1", "training.checkpoint_every=3"]
    recipe = tiny(*options, stages=stages, diagnostics=looks)
    whole, sharded = tmp_path / "whole", tmp_path / "sharded"
    process = start(recipe, sharded)
    wait_for(lambda: RunFolder(sharded).checkpoints() or process.poll() is not None)
    family = [*psutil.Process(process.pid).children(recursive=True), process]
    for member in family:
        member.kill()
    psutil.wait_procs(family[:-1])
    process.wait()
    assert not (sharded / "tower").exists()
    saved = FileSystemReader(RunFolder(sharded).checkpoints()[-1] / "pytorch_model_fsdp_0").read_metadata()
    parts = {
        name: part for name, part in saved.state_dict_metadata.items() if isinstance(part, TensorStorageMetadata)
    }
    assert {name.split(".")[1] for name in parts} == {"0", "1"}  # the student and its average, nothing frozen
    for part in parts.values():
        if part.size and part.size[0] > 1:  # a scalar and a single row cannot be shared
            rows = sorted(chunk.sizes[0] for chunk in part.chunks)
            assert rows == [part.size[0] // 2, part.size[0] - part.size[0] // 2]

    assert start(recipe, sharded, "--resume").wait() == 0
    train(recipe, whole)
    assert_close(whole, sharded, recipe)
    averages = [load_file(run / "tower-ema" / "open_clip_model.safetensors") for run in (whole, sharded)]
    for key, value in averages[0].items():
        torch.testing.assert_close(averages[1][key], value)


@pytest.mark.slow
def test_a_sharded_denoiser_is_trained_and_written_as_a_whole_one_is(tiny: Tiny, tmp_path: Path) -> None:
    stages = [{"train": ["projection", "denoiser"], "steps": 3, "optimizer": {"type": "sgd", "lr": 1e-2}}]
    recipe = tiny(stages=stages)
    assert start(recipe, tmp_path / "sharded").wait() == 0
    train(recipe, tmp_path / "whole")
    one, two = (tmp_path / run / "denoiser" / "unet" for run in ("whole", "sharded"))
    assert (two / "config.json").read_text() == (one / "config.json").read_text()
    (name,) = (path.name for path in one.glob("*.safetensors"))
    wanted, found = load_file(one / name), load_file(two / name)
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-5)


def test_a_checkpoint_goes_on_only_as_it_began(tiny: Tiny, tmp_path: Path) -> None:
    run, recipe = tmp_path / "run", tiny("stages.0.steps=5")
    train(recipe, run)
    (run / "checkpoints" / "step-00000005" / "pytorch_model_fsdp_0").mkdir()  # as FSDP2 leaves it
    with pytest.raises(Changed, match=r"step-00000005: .*FSDP2.*ACCELERATE_USE_FSDP"):
        train(recipe, run, resume=True)


@pytest.mark.parametrize(
    ("environment", "override", "refused"),
    [
        (
            {"ACCELERATE_USE_FSDP": "true"},
            "seed=1",
            pytest.raises(Unsupported, match=r"ACCELERATE_USE_FSDP: .*FSDP2"),
        ),
        (SHARDED, "tower.adapt={type: lora}", pytest.raises(Mismatch, match=r"tower\.adapt: low-rank")),
    ],
)
def test_what_is_not_sharded_is_refused(
    tiny: Tiny,
    tmp_path: Path,
    environment: dict[str, str],
    override: str,
    refused: pytest.RaisesExc[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with refused:
        build_accelerator(tiny(override), tmp_path)


def test_a_process_without_others_is_not_sharded_silently(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SHARDED.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Unsupported, match="GPU"):
        train(tiny(), tmp_path / "run")
    assert not (tmp_path / "run").exists()
