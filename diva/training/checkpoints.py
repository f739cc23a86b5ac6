"""Checkpoints that are either complete or not there."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from diva.errors import RunError

POSITION = "position.json"
_NAME = re.compile(r"step-(\d+)")


def checkpoints(folder: Path) -> list[Path]:
    """Return the complete checkpoints in `folder`, oldest first."""
    found = [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name) and (path / POSITION).is_file()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def save_checkpoint(
    accelerator: Accelerator, folder: Path, step: int, position: dict[str, Any], *, keep: int
) -> Path:
    """Write the accelerator's whole state and `position` as one checkpoint, then drop all but the newest `keep`.

    It is written under a temporary name and renamed when every process has finished.

    Raises:
        RunError: the disk refused; the earlier checkpoints are untouched.
    """
    final = folder / f"step-{step:08d}"
    temporary = folder / f".{final.name}.tmp"
    if accelerator.is_main_process:
        shutil.rmtree(temporary, ignore_errors=True)  # left by a process that was killed
    accelerator.wait_for_everyone()
    try:
        accelerator.save_state(str(temporary))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            (temporary / POSITION).write_text(json.dumps(position))
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
            for old in checkpoints(folder)[:-keep]:
                shutil.rmtree(old)
    except Exception as error:
        shutil.rmtree(temporary, ignore_errors=True)
        kept = checkpoints(folder)
        last = f"the last good one is {kept[-1]}" if kept else "there is no earlier one"
        raise RunError(f"{final}: the checkpoint could not be written ({error}); {last}") from error
    accelerator.wait_for_everyone()
    return final


def read_position(checkpoint: Path) -> dict[str, Any]:
    """Return what `save_checkpoint` was given as `position`."""
    return json.loads((checkpoint / POSITION).read_text())
