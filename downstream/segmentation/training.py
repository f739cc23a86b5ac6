"""Training a head, with mmengine's Runner underneath."""

import copy
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
from torch import distributed, nn

from diva.errors import Occupied
from diva.lock import LOCK, locked
from diva.recipes.resume import check_resumed
from diva.towers import Clip
from diva_downstream.segmentation.build_config import build_config
from diva_downstream.segmentation.checkpoints import checkpoint_of, newest_iterations
from diva_downstream.segmentation.datasets import Located
from diva_downstream.segmentation.head_record import HeadRecord, read_head_record


def train_head(record: HeadRecord, clip: Clip, data: Located, out: Path, *, workers: int, resume: bool) -> None:
    """Train the head of `record` on the training split of `data`; `out` gets checkpoints, logs and the config.

    Started by `torchrun` or another launcher of torch's kind, it trains on all processes together. A resumed run
    ends as one that was never stopped. Of damaged checkpoints, the newest whole one is used, with a warning.

    Raises:
        InputError: `out` holds another run or, without `resume`, a run at all, or another command is at work there.
    """
    first = os.environ.get("RANK", "0") == "0"  # the others would see what the first one writes
    if first:
        data.files("train")
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    config = build_config(record, clip, data, training=True, workers=workers, processes=processes)
    with locked(out) if first else nullcontext():
        if first:
            _check(record, out, resume)
            record.write(out)
        _launch(config)
        done, damaged = newest_iterations(out) if resume else (0, [])
        for what in damaged if first else ():
            warning = f"warning: {what}; continuing after {done} iterations"
            Console(stderr=True).print(Text(warning, style="yellow"), soft_wrap=True)
        if first and done:
            Console(stderr=True).print(Text(f"resuming after {done} iterations"), soft_wrap=True)
        start = {"resume": True, "load_from": str(checkpoint_of(out.resolve(), done))} if done else {}
        build_runner(config, clip, out, **start).train()


def build_runner(config: Config, clip: Clip, folder: Path, **fields: Any) -> Runner:
    """Return a Runner of `config` that writes to `folder` and shares no log with another in this process.

    `clip` becomes its tower, in place of the one that the config names, which would be loaded again.
    """

    class AroundTheTower(Runner):
        def build_model(self, model: Any) -> nn.Module:
            model = copy.deepcopy(model)  # the Runner writes the config down, with the tower's name
            for part in (model, model.get("backbone", {}), model.get("decode_head", {})):
                if "tower" in part:
                    part["tower"] = clip
            built: nn.Module = super().build_model(model)
            return built

    name = f"{folder.name}-{uuid.uuid4().hex[:8]}"
    return AroundTheTower.from_cfg(Config({**config, "work_dir": str(folder), "experiment_name": name, **fields}))


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


def _check(record: HeadRecord, out: Path, resume: bool) -> None:
    before = read_head_record(out)
    # with `resume` as well: a pipeline that was killed early knows not whether there is a run
    if not before and any(path.name != LOCK for path in out.iterdir()):
        raise Occupied(out, "is not empty; name another folder with --out")
    check_resumed(out, (lambda: before) if before else None, record, resume=resume)
