"""What this benchmark measures: one update of a training, whoever wrote it."""

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from diva.towers import Clip


class Step(Protocol):
    """A training that is ready for its next update.

    Attributes:
        images: of an update, over all processes.
        device: that the networks are on.
        clip: the model whose tower is trained.
        optimizer: whose step is timed.
        gradient_bytes: of the gradients that processes exchange in an update.
    """

    images: int
    device: torch.device
    clip: Clip
    optimizer: torch.optim.Optimizer
    gradient_bytes: int

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Modules whose forward pass is timed, by the name of the part."""

    def update(self, mark: Callable[[str], None] | None = None) -> Tensor:
        """Wait for the data, make one update and return its loss, a scalar still on the device.

        Args:
            mark: called with the name of what comes next, around what is in none of `networks`.
        """

    def close(self) -> None:
        """End the workers and free the memory."""


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
