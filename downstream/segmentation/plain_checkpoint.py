"""Checkpoints that hold numbers and text only, and runs that go on from them as if never stopped."""

from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner
from mmseg.registry import HOOKS

SCALARS = "log_scalars"


@HOOKS.register_module()
class PlainCheckpoint(Hook):
    """Lets `torch.load(weights_only=True)` read what mmengine writes, and a resumed run go on as if never stopped.

    mmengine pickles the history of its logs as objects, which today's torch rightly refuses to load. Here they go
    in as lists and come back as objects. torch's draws of an iteration follow from its number, the process and the
    run's seed, so that no checkpoint needs any process's random state, which only process 0 could save and which
    soon differ; the transforms' draws are repeated by mmengine, which leafs through the data that was seen already.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Replace objects by what they hold."""
        del runner
        hub = checkpoint["message_hub"]
        hub[SCALARS] = {key: [values.tolist() for values in buffer.data] for key, buffer in hub[SCALARS].items()}
        for key, value in hub["runtime_info"].items():
            if isinstance(value, np.generic):
                hub["runtime_info"][key] = value.item()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Bring the objects back; weights that others wrote pass as they are."""
        del runner
        checkpoint.get("meta", {}).pop("config", None)  # mmengine would run it as Python
        if "message_hub" in checkpoint:
            hub = checkpoint["message_hub"]
            hub[SCALARS] = {key: HistoryBuffer(*data) for key, data in hub[SCALARS].items()}

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed what the iteration draws."""
        del data_batch
        (seed,) = np.random.SeedSequence([runner.seed, runner.rank, batch_idx]).generate_state(1, np.uint64)
        torch.manual_seed(int(seed))
