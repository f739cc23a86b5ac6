"""How training goes, on a terminal."""

from math import isfinite
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from rich.console import Console
from rich.text import Text

from diva.errors import RunError


@HOOKS.register_module()
class Progress(Hook):
    """Prints the loss twenty times a run and stops at one that is not finite; `vis_data/scalars.json` has all."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Print one line where a twentieth of the run is done.

        Raises:
            RunError: the loss is not a finite number.
        """
        del data_batch
        if outputs is None:
            return
        done, total = batch_idx + 1, runner.max_iters
        loss = float(outputs["loss"].detach())
        if not isfinite(loss):
            raise RunError(
                f"iteration {done}: the loss is {loss}; lower the rate with optim_wrapper.optimizer.lr=… or check"
                " the tower's weights"
            )
        if done % max(1, total // 20) == 0 and is_main_process():
            self._console.print(Text(f"iteration {done} of {total}: loss {loss:.3f}"))
