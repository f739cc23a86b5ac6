"""Embeddings of many images on disk, in blocks that are read one at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

ROWS = 4096  # of a block; a product of two blocks has 64 MiB in float32


def dtype_on(device: torch.device) -> torch.dtype:
    """Return float16 on a GPU, whose products add up in float32, and float32 elsewhere."""
    return torch.float16 if device.type == "cuda" else torch.float32


@dataclass
class Blocks:
    """L2-normalised vectors in float16, `size` a file, which are added and then read.

    Attributes:
        folder: holds `0.npy` and so on.
        count, width: how many vectors are there, and D.
    """

    folder: Path
    size: int = ROWS
    count: int = 0
    width: int = 0
    _waiting: list[Tensor] = field(default_factory=list)

    def add(self, embeddings: Tensor) -> None:
        """Add embeddings [B, D]."""
        self._waiting.append(F.normalize(embeddings.float(), dim=-1).half().cpu())
        self.count += len(embeddings)
        self.width = embeddings.shape[1]
        while sum(map(len, self._waiting)) >= self.size:
            self._put()

    def finish(self) -> None:
        """Write what is left."""
        if any(map(len, self._waiting)):
            self._put()

    def __len__(self) -> int:
        """Return the number of blocks."""
        return -(-self.count // self.size)

    def memory(self, device: torch.device) -> Tensor:
        """Return room for a block [size, D] in `dtype_on(device)`."""
        return torch.empty(self.size, self.width, dtype=dtype_on(device), device=device)

    def read(self, block: int, memory: Tensor) -> Tensor:
        """Read a block into `memory` and return it, [up to `size`, D]."""
        found = np.load(self.folder / f"{block}.npy")
        return memory[: len(found)].copy_(torch.from_numpy(found))

    def rows(self, numbers: Iterable[int]) -> Iterator[NDArray[np.float32]]:
        """Yield single vectors [D]; of the files only these are read."""
        for number in numbers:
            block = np.load(self.folder / f"{number // self.size}.npy", mmap_mode="r")
            yield block[number % self.size].astype(np.float32)

    def _put(self) -> None:
        rows = torch.cat(self._waiting)
        self.folder.mkdir(exist_ok=True)
        np.save(self.folder / f"{len(list(self.folder.iterdir()))}.npy", rows[: self.size].numpy())
        self._waiting = [rows[self.size :].clone()]
