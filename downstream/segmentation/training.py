"""Training a head, with mmengine's Runner underneath."""

import os
import uuid
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner, find_latest_checkpoint
from torch import distributed

from diva.errors import InputError
from diva.towers import Clip
from downstream.segmentation.compose import compose
from downstream.segmentation.datasets import Located
from downstream.segmentation.setup import Setup, read_setup


def train_head(setup: Setup, clip: Clip, data: Located, out: Path, *, workers: int, resume: bool) -> None:
    """Train the head of `setup` on the training split of `data`; `out` gets checkpoints, logs and the config.

    Started by `torchrun` or another launcher of torch's kind, it trains on all processes together. A resumed run
    ends as one that was never stopped.

    Raises:
        InputError: `out` holds another run or, without `resume`, a run at all.
    """
    first = os.environ.get("RANK", "0") == "0"  # the others would see what the first one writes
    if first:
        _check(setup, out, resume)
        data.files("train")
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    config = compose(setup, clip, data, training=True, workers=workers, processes=processes)
    if first:
        setup.write(out)
    _launch(config)
    done = finished(out) if resume else 0
    # named, since mmengine would look where the folder was when the run began
    start = {"resume": True, "load_from": str(checkpoint_of(out, done))} if done else {}
    build_runner(config, out, **start).train()


def finished(run: Path) -> int:
    """Return after how many iterations the newest checkpoint of `run` was written; 0 where there is none."""
    latest = find_latest_checkpoint(str(run)) if (run / "last_checkpoint").is_file() else None
    return int(Path(latest).stem.removeprefix("iter_")) if latest else 0


def checkpoint_of(run: Path, iterations: int) -> Path:
    """Return the checkpoint that `run` wrote after `iterations`."""
    return run / f"iter_{iterations}.pth"


def build_runner(config: Config, folder: Path, **fields: Any) -> Runner:
    """Return a Runner of `config` that writes to `folder` and shares no log with another in this process."""
    name = f"{folder.name}-{uuid.uuid4().hex[:8]}"
    return Runner.from_cfg(Config({**config, "work_dir": str(folder), "experiment_name": name, **fields}))


def _launch(config: Config) -> None:
    """Let `config` run on the processes that a launcher started, with gloo where there is no GPU."""
    if "RANK" not in os.environ:
        return
    config.launcher = "pytorch"
    if torch.cuda.is_available():
        config.sync_bn = "torch"
    else:
        distributed.init_process_group("gloo")
        config.model_wrapper_cfg = {
            "type": "MMDistributedDataParallel",
            "device_ids": None,
            "find_unused_parameters": config.get("find_unused_parameters", False),
        }


def _check(setup: Setup, out: Path, resume: bool) -> None:
    before = read_setup(out) if resume else None
    if before is None:  # with `resume` as well: a pipeline that was killed early knows not whether there is a run
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"{out}: is not empty; name another folder with --out, or go on with --resume")
        return
    differs = [name for name in Setup.model_fields if getattr(before, name) != getattr(setup, name)]
    if differs:
        raise InputError(
            f"{out}: was begun with another {differs[0]} ({getattr(before, differs[0])}); name another folder with"
            " --out, or give the same options"
        )
