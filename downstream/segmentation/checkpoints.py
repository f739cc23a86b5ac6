"""Checkpoints of a run that are complete or not there, and of which the newest whole one is used."""

import re
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from diva.atomic import discard, new_folder
from diva.seal import newest_whole, strangers

NAME = re.compile(r"iter_\d+")
CONTENT = "checkpoint.pth"


@HOOKS.register_module()
class SealedCheckpoints(Hook):
    """Writes `iter_N/checkpoint.pth`, as mmengine's own hook does, but sealed (`diva.seal`) and in one act."""

    priority = "VERY_LOW"  # after the hook that moves the learning rate

    def __init__(self, interval: int, keep: int = 2) -> None:
        """Write every `interval` iterations and after the last one, and keep the newest `keep`."""
        self._interval, self._keep = interval, keep

    @master_only
    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Write a checkpoint where one is due.

        Raises:
            RunError: the folder of the run cannot be written to.
        """
        del data_batch, outputs
        done = batch_idx + 1
        if done % self._interval and done < runner.max_iters:
            return
        run = Path(runner.work_dir)
        discard(_folder(run, done))  # a damaged one, which the run was not resumed from
        with new_folder(_folder(run, done)) as folder:
            runner.save_checkpoint(str(folder), CONTENT, by_epoch=False)
        for iterations in _written(run)[: -self._keep]:
            if not strangers(_folder(run, iterations)):
                discard(_folder(run, iterations))


def newest_iterations(run: Path) -> tuple[int, list[str]]:
    """Return after how many iterations the newest whole checkpoint of `run` was written, 0 where there is none.

    The sentences say what is wrong with the newer ones that are damaged.
    """
    whole, damaged = newest_whole([_folder(run, iterations) for iterations in _written(run)])
    return _iterations(whole) if whole else 0, damaged


def checkpoint_of(run: Path, iterations: int) -> Path:
    """Return the checkpoint that `run` wrote after `iterations`."""
    return _folder(run, iterations) / CONTENT


def _written(run: Path) -> list[int]:
    return sorted(_iterations(path) for path in run.glob("iter_*") if NAME.fullmatch(path.name))


def _iterations(folder: Path) -> int:
    return int(folder.name.removeprefix("iter_"))


def _folder(run: Path, iterations: int) -> Path:
    return run / f"iter_{iterations}"
