"""A stop that one process is asked for, and that all make after the same update."""

import torch
from accelerate import Accelerator
from torch import Tensor


class Stop:
    """Whether to stop; every process gets the same answer from its call of the same number.

    Attributes:
        requested: of this process; a signal handler sets it.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        """Agree among the processes of `accelerator`."""
        self.requested = False
        self._accelerator = accelerator
        self._asked: tuple[Tensor, torch.cuda.Event | None] | None = None

    def agreed(self) -> bool:
        """Ask every process, and say whether any of them was asked to stop when all were asked last.

        So nothing waits for what the device was given since. A process by itself answers at once.
        """
        if self._accelerator.num_processes == 1:
            return self.requested
        before, self._asked = self._asked, self._ask()
        if before is None:
            return False
        answer, arrived = before
        if arrived is not None:
            arrived.synchronize()
        return bool(answer)

    def _ask(self) -> tuple[Tensor, torch.cuda.Event | None]:
        device = self._accelerator.device
        own = torch.full((), float(self.requested), device=device)
        answer = self._accelerator.reduce(own, "sum").to("cpu", non_blocking=True)  # from a GPU, to pinned memory
        return answer, torch.cuda.current_stream(device).record_event() if device.type == "cuda" else None
