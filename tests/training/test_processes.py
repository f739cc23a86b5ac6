"""The number of processes must not matter beyond the order of floating-point sums."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from diva.errors import Mismatch
from diva.recipes import load_recipe
from diva.run_folder import RunFolder
from diva.training import train
from diva.training.caching import cache_latents
from tests.training.conftest import WriteRecipe
from tests.training.test_run import metrics, wait_for, weights


@pytest.mark.slow
def test_sigterm_to_the_launcher_saves_a_checkpoint_before_it_kills(
    write_tiny: WriteRecipe, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    fields = ["stages.0.steps=100000", "training.log_every=100000", "training.checkpoint_every=2"]
    process = subprocess.Popen(
        [*command, "-m", "diva.cli", "train", write_tiny(), "--out", run, *fields],
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: RunFolder(run).checkpoints() or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert "SIGKILL" not in said
    stopped = re.search(r"stopped at step (\d+) as asked", said)
    assert stopped
    assert RunFolder(run).checkpoints()[-1].name == f"step-{int(stopped[1]):08d}"


def test_two_processes_resumed_by_one_end_where_one_does(write_tiny: WriteRecipe, tmp_path: Path) -> None:
    path = write_tiny(stages=[{"steps": 12, "warmup": 0.0, "optimizer": {"type": "sgd", "lr": 1e-1}}])
    single, pair = tmp_path / "single", tmp_path / "pair"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    process = subprocess.Popen(
        [*command, "-m", "diva.cli", "train", path, "--out", pair],
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        stderr=subprocess.DEVNULL,
    )
    train(load_recipe(str(path)), single)
    wait_for(lambda: RunFolder(pair).checkpoints() or process.poll() is not None)
    family = [*psutil.Process(process.pid).children(recursive=True), process]  # the workers lead their own sessions
    for member in family:
        member.kill()
    psutil.wait_procs(family[:-1])
    process.wait()
    assert not (pair / "tower").exists()

    train(load_recipe(str(path)), pair, resume=True)
    start = load_file(Path(load_recipe(str(path)).tower.name) / "open_clip_model.safetensors")
    one, two = weights(single), weights(pair)
    moved = torch.cat([(one[key] - start[key]).flatten() for key in start]).norm()
    apart = torch.cat([(one[key] - two[key]).flatten() for key in start]).norm()
    assert moved > 0
    assert apart < 1e-4 * moved
    for ours, theirs in zip(metrics(pair), metrics(single), strict=True):
        assert abs(ours["loss"] - theirs["loss"]) < 1e-5
        assert abs(ours["grad_norm"] - theirs["grad_norm"]) < 1e-5


def test_two_processes_share_the_shards_of_a_cache(write_tiny: WriteRecipe, tmp_path: Path) -> None:
    path, command = (
        write_tiny(),
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
    )
    said = subprocess.run(
        [*command, "-m", "diva.cli", "data", "cache-latents", path, "--out", tmp_path / "two"],
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert said.count("of 2): ") == 4  # shards
    cache_latents(load_recipe(str(path)), tmp_path / "one", console=Console())
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / n).iterdir()} for n in ("one", "two"))
    assert one == two


def test_processes_that_are_not_joined_do_not_begin(
    write_tiny: WriteRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(Mismatch, match=r"WORLD_SIZE: 2.*ACCELERATE_USE_CPU=true"):
        cache_latents(load_recipe(str(write_tiny())), tmp_path / "cache", console=Console())
