"""How training and measuring go on."""

from contextlib import ExitStack
from math import isfinite
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from diva.errors import Failed
from diva.progress import Phase, phase


@HOOKS.register_module()
class Progress(Hook):
    """Says how far a run is, and stops at a loss that is not finite; `vis_data/scalars.json` has all losses."""

    def __init__(self) -> None:
        self._open, self._phase = ExitStack(), Phase("")

    def before_train(self, runner: Runner) -> None:
        """Begin the phase of training."""
        self._phase = self._open.enter_context(phase("iterations", runner.max_iters, done=runner.iter))

    def before_test(self, runner: Runner) -> None:
        """Begin the phase of measuring."""
        self._phase = self._open.enter_context(phase("batches of pictures", len(runner.test_dataloader)))

    def after_train(self, runner: Runner) -> None:
        """End the phase of training."""
        del runner
        self._open.close()

    def after_test(self, runner: Runner) -> None:
        """End the phase of measuring."""
        del runner
        self._open.close()

    def after_test_iter(self, *_: Any, **__: Any) -> None:
        """Count a batch."""
        self._phase.advance()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Count an iteration.

        Raises:
            RunError: the loss is not a finite number.
        """
        del runner, data_batch
        self._phase.done = batch_idx + 1
        if outputs is None:
            return
        loss = float(outputs["loss"].detach())
        if not isfinite(loss):
            raise Failed(
                f"iteration {batch_idx + 1}",
                f"the loss is {loss}; lower optim_wrapper.optimizer.lr or check the tower's weights",
            )
        self._phase.note = f"loss {loss:.3f}"
