"""A cache of a teacher's verdicts and of the tower's own readings of each image."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from diva.data.cache.index import CacheIndex, Kind, Made
from diva.data.cache.source import CachedImage, CachedPart, open_cache
from diva.data.decode import Crop
from diva.data.shards import ShardSource

VERDICTS = Kind("verdicts", "a cache of verdicts", "data.verdicts", "diva data judge")


class Judged(Made):
    """What verdicts depend on, as far as a recipe without its teacher's weights can say.

    Attributes:
        statements_sha256: of the list.
        tower_sha256: of the model that reads the images first.
        samples: noise samples a verdict; timesteps: first and one past the last that are drawn.
    """

    statements_sha256: str
    tower_sha256: str
    samples: int
    timesteps: tuple[int, int]


class VerdictIndex(CacheIndex[Judged]):
    """The index of a cache of verdicts.

    Attributes:
        teacher_sha256: of the teacher's files and of the dtype that it computes in.
        checked: share of the images that are judged twice.
        alternatives: of each group, in the order of what is stored: float32 [3, A] of each image (`diva.verdicts`).
    """

    kind = VERDICTS
    teacher_sha256: str
    checked: float
    alternatives: dict[str, tuple[str, ...]]


class VerdictImage(CachedImage):
    """The verdicts on one image."""

    kind = VERDICTS

    def crop(self, number: int) -> Crop:
        """Return the tower's input and the verdicts."""
        pixels, verdicts = self.read(number)
        return Crop(pixels, verdicts=verdicts)

    def verdicts(self) -> Tensor:
        """Return the verdicts [3, A] alone.

        Raises:
            RunError: they are missing or are not what was written.
        """
        return self.content(0)


@dataclass(frozen=True)
class VerdictPart(CachedPart):
    """A shard of verdicts."""

    image = VerdictImage


@dataclass(frozen=True)
class VerdictSource(ShardSource):
    """The shards of a cache of verdicts."""

    kind = VERDICTS.content
    part: ClassVar[type[CachedPart]] = VerdictPart


def open_verdicts(folder: Path, wanted: Judged) -> VerdictSource:
    """Open the cache in `folder` for a run that needs what is `wanted`.

    Raises:
        InputError: there is no cache, it is not complete, or it was made with something else.
    """
    return open_cache(folder, wanted, VerdictIndex, VerdictSource)
