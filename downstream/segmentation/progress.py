"""How training goes, on a terminal."""

from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from rich.console import Console
from rich.text import Text


@HOOKS.register_module()
class Progress(Hook):
    """Prints the loss twenty times a run; all scalars are in the run's `vis_data/scalars.json`."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    @master_only
    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Print one line where a twentieth of the run is done."""
        del data_batch
        done, total = batch_idx + 1, runner.max_iters
        if done % max(1, total // 20) == 0 and outputs is not None:
            self._console.print(Text(f"iteration {done} of {total}: loss {float(outputs['loss']):.3f}"))
