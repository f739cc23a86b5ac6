"""Checkpoints that are either complete or not there, and that are what was written when they are read."""

import json
import logging
import re
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object

from diva.atomic import discard, put_folder, temporary_name
from diva.documents import read_json
from diva.errors import InputError, RunError
from diva.seal import DamagedError, seal, verify

POSITION = "position.json"
_NAME = re.compile(r"step-(\d+)")
logger = logging.getLogger("diva.training")


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in `folder`, oldest first; what has happened to their files since is not looked at."""
    return sorted((path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)), key=_step)


def newest_whole(folder: Path) -> Path | None:
    """Return the newest checkpoint in `folder` whose files are what was written, or None where there are none.

    A warning names each newer one that is passed over. What processes that were killed left half written or half
    removed is cleared away: nobody else may be at work in `folder`.

    Raises:
        InputError: there are checkpoints, but each is damaged.
    """
    for path in folder.glob(".step-*.tmp"):
        discard(path)
    damaged = []
    for checkpoint in reversed(checkpoints(folder)):
        try:
            verify(checkpoint, complete=True)
        except DamagedError as error:
            damaged.append(f"{checkpoint}: {error}")
            continue
        for what in damaged:
            logger.warning("%s; continuing from %s", what, checkpoint.name)
        return checkpoint
    if damaged:
        raise InputError(
            f"{'; '.join(damaged)}; no checkpoint is whole: restore one, or start anew with another --out"
        )
    return None


def save_checkpoint(
    accelerator: Accelerator, folder: Path, step: int, position: dict[str, Any], *, keep: int
) -> Path:
    """Write the accelerator's whole state and `position` as one checkpoint, then drop all but the newest `keep`.

    It is written under a temporary name, and sealed (`diva.seal`) and renamed when every process has finished.
    Later checkpoints are dropped too: they are damaged, or the run would have continued from them.

    Raises:
        RunError: the disk refused; the earlier checkpoints are untouched.
    """
    final = folder / f"step-{step:08d}"
    temporary = Path(gather_object([str(temporary_name(final))])[0])  # the main process's, for all
    try:
        if accelerator.is_main_process and final.exists():
            _drop(final)  # damaged: the run continued from an earlier one
        accelerator.wait_for_everyone()
        accelerator.save_state(str(temporary))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            (temporary / POSITION).write_text(json.dumps(position))
            seal(temporary)
            put_folder(temporary, final)
            kept = [path for path in checkpoints(folder) if _step(path) <= step][-keep:]
            for path in checkpoints(folder):
                if path not in kept:
                    _drop(path)
    except Exception as error:
        discard(temporary)
        earlier = checkpoints(folder)
        last = f"the last good one is {earlier[-1]}" if earlier else "there is no earlier one"
        raise RunError(f"{final}: the checkpoint could not be written ({error}); {last}") from error
    accelerator.wait_for_everyone()
    return final


def read_position(checkpoint: Path) -> dict[str, Any]:
    """Return what `save_checkpoint` was given as `position`."""
    position: dict[str, Any] = read_json(checkpoint / POSITION, limit=None)
    return position


def _drop(checkpoint: Path) -> None:
    """Remove a checkpoint, which loses its name first: a half removed one is never taken for one."""
    nameless = temporary_name(checkpoint)
    put_folder(checkpoint, nameless)
    discard(nameless)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))
