"""Checkpoints that hold numbers and text only, and that know where the random draws were."""

from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner
from mmseg.registry import HOOKS

SCALARS = "log_scalars"
DRAWS = "random_draws"


@HOOKS.register_module()
class PlainCheckpoint(Hook):
    """Lets `torch.load(weights_only=True)` read what mmengine writes, and a resumed run go on as if never stopped.

    mmengine pickles the history of its logs as objects, which today's torch rightly refuses to load. Here they go
    in as lists and come back as objects. torch's random state goes with them; the transforms' draws are repeated by
    mmengine, which leafs through the data that was seen already.
    """

    def __init__(self) -> None:
        self._draws: dict[str, Any] | None = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Replace objects by what they hold."""
        del runner
        hub = checkpoint["message_hub"]
        hub[SCALARS] = {key: [values.tolist() for values in buffer.data] for key, buffer in hub[SCALARS].items()}
        for key, value in hub["runtime_info"].items():
            if isinstance(value, np.generic):
                hub["runtime_info"][key] = value.item()
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        checkpoint[DRAWS] = {"cpu": torch.get_rng_state(), "cuda": cuda}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Bring the objects back; weights that others wrote pass as they are."""
        del runner
        if DRAWS not in checkpoint:
            return
        hub = checkpoint["message_hub"]
        hub[SCALARS] = {key: HistoryBuffer(*data) for key, data in hub[SCALARS].items()}
        self._draws = checkpoint[DRAWS]

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set the random state of the first iteration after a resumption."""
        del runner, batch_idx, data_batch
        if self._draws is not None:
            torch.set_rng_state(self._draws["cpu"].cpu())
            if len(self._draws["cuda"]) == torch.cuda.device_count():
                torch.cuda.set_rng_state_all([state.cpu() for state in self._draws["cuda"]])
            self._draws = None
