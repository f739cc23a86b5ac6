"""Training a head, with mmengine's Runner underneath."""

import os
import uuid
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from rich.console import Console
from rich.text import Text
from torch import distributed

from diva.errors import InputError
from diva.lock import LOCK, locked
from diva.towers import Clip
from diva_downstream.segmentation.checkpoints import checkpoint_of, newest_whole
from diva_downstream.segmentation.compose import compose
from diva_downstream.segmentation.datasets import Located
from diva_downstream.segmentation.setup import Setup, read_setup


def train_head(setup: Setup, clip: Clip, data: Located, out: Path, *, workers: int, resume: bool) -> None:
    """Train the head of `setup` on the training split of `data`; `out` gets checkpoints, logs and the config.

    Started by `torchrun` or another launcher of torch's kind, it trains on all processes together. A resumed run
    ends as one that was never stopped. Of damaged checkpoints, the newest whole one is used, with a warning.

    Raises:
        InputError: `out` holds another run or, without `resume`, a run at all, or another command is at work there.
    """
    first = os.environ.get("RANK", "0") == "0"  # the others would see what the first one writes
    if first:
        data.files("train")
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    config = compose(setup, clip, data, training=True, workers=workers, processes=processes)
    with locked(out) if first else nullcontext():
        if first:
            _check(setup, out, resume)
            setup.write(out)
        _launch(config)
        done, damaged = newest_whole(out) if resume else (0, "")
        if damaged and first:
            warning = f"warning: {damaged}; continuing after {done} iterations"
            Console(stderr=True).print(Text(warning, style="yellow"), soft_wrap=True)
        start = {"resume": True, "load_from": str(checkpoint_of(out.resolve(), done))} if done else {}
        build_runner(config, out, **start).train()


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
        if any(path.name != LOCK for path in out.iterdir()):
            raise InputError(f"{out}: is not empty; name another folder with --out, or go on with --resume")
        return
    differs = [name for name in Setup.model_fields if getattr(before, name) != getattr(setup, name)]
    if differs:
        raise InputError(
            f"{out}: was begun with another {differs[0]} ({getattr(before, differs[0])}); name another folder with"
            " --out, or give the same options"
        )
