"""The data alone: how many images a second the loader gives, and what memory it holds."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from accelerate import PartialState

from diva.data import Batch, Loader, open_source
from diva.data.cache import LatentIndex, LatentSource
from diva.recipes import Recipe
from diva.training.build import build_loader


@dataclass(frozen=True)
class DataRate:
    """What some batches cost.

    Attributes:
        images: of a batch.
        seconds: of each batch.
        memory: bytes resident in this process and its workers, each file's pages counted once a process.
    """

    images: int
    seconds: tuple[float, ...]
    memory: int

    @property
    def images_per_second(self) -> float:
        """Images over all batches' time."""
        return self.images * len(self.seconds) / sum(self.seconds)


def open_loader(recipe: Recipe) -> Loader:
    """Return the batches of a run, from its images or from its cache, whatever teacher that is of."""
    if recipe.data.latents is None:
        return build_loader(recipe, PartialState(), open_source(recipe.data.source))
    folder = Path(recipe.data.latents)
    return build_loader(recipe, PartialState(), LatentSource(str(folder), folder, LatentIndex.read(folder).shards))


def measure_data(loader: Iterator[Batch], *, warmup: int, batches: int) -> DataRate:
    """Time `batches` batches after `warmup` ones; nothing else is done meanwhile."""
    for _ in range(warmup):
        next(loader)
    seconds, images = [], 0
    for _ in range(batches):
        start = time.perf_counter()
        images = len(next(loader).keys)
        seconds.append(time.perf_counter() - start)
    process = psutil.Process()
    family = [process, *process.children(recursive=True)]
    return DataRate(images, tuple(seconds), sum(member.memory_info().rss for member in family))
