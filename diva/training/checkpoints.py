"""Checkpoints that are either complete or not there."""

from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import gather_object

from diva.atomic import discard, put_folder, temporary_name
from diva.errors import WriteFailed
from diva.progress import phase
from diva.run_folder import Position, RunFolder, step_of
from diva.seal import seal, strangers


@phase("writing a checkpoint")
def save_checkpoint(accelerator: Accelerator, run: RunFolder, position: Position, *, keep: int) -> None:
    """Write the accelerator's whole state and `position` as one checkpoint, then drop all but the newest `keep`.

    It is written under a temporary name, and sealed (`diva.seal`) and renamed when every process has finished.
    Later checkpoints are dropped too: they are damaged, or the run would have continued from them. One that holds
    a file which is not the checkpoint's is kept.

    Raises:
        RunError: the disk refused; the earlier checkpoints are untouched.
    """
    final = run.checkpoint(position.step)
    temporary = Path(gather_object([str(temporary_name(final))])[0])  # the main process's, for all
    try:
        if accelerator.is_main_process and final.exists():
            _drop(final)  # damaged: the run continued from an earlier one
        accelerator.wait_for_everyone()
        accelerator.save_state(str(temporary))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            position.write(temporary)
            seal(temporary)
            put_folder(temporary, final)
            kept = [path for path in run.checkpoints() if step_of(path) <= position.step][-keep:]
            for path in run.checkpoints():
                if path not in kept and not strangers(path):
                    _drop(path)
    except Exception as error:
        discard(temporary)
        earlier = run.checkpoints()
        last = f"the last good one is {earlier[-1]}" if earlier else "there is no earlier one"
        raise WriteFailed(final, f"the checkpoint could not be written ({error}); {last}") from error
    accelerator.wait_for_everyone()


def _drop(checkpoint: Path) -> None:
    """Remove a checkpoint, which loses its name first: a half removed one is never taken for one."""
    if found := strangers(checkpoint):
        raise WriteFailed(checkpoint, f"holds {found[0]}, which is not of a checkpoint; move it away")
    nameless = temporary_name(checkpoint)
    put_folder(checkpoint, nameless)
    discard(nameless)
