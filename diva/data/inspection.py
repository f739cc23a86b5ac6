"""What a source holds, for a look before a run."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Self

from diva.data.decode import decode, to_rgb
from diva.data.raw import TooSmallError, UnusableError
from diva.data.source import Source, count_images, fingerprint, size_in_bytes


@dataclass(frozen=True)
class Spread:
    """The least, the middle and the greatest of some lengths in pixels."""

    minimum: int
    median: float
    maximum: int

    @classmethod
    def of(cls, lengths: Iterable[int]) -> Self | None:
        """Return the spread of `lengths`, or None if there are none."""
        lengths = list(lengths)
        return cls(min(lengths), median(lengths), max(lengths)) if lengths else None


@dataclass(frozen=True)
class Inspection:
    """What a source holds.

    Attributes:
        kind: "shards", "folder" or "datasets".
        files, images, size: files, images in them, and the files' bytes.
        formats: how many of the sampled images are in each encoding, by PIL's names.
        sampled: images that were decoded: the first ones, in the source's order.
        too_small: those of them with a side of too few pixels to be trained on.
        undecodable: those that cannot be used for another reason.
        shorter_side, longer_side: of the others; None if there are none.
    """

    spec: str
    kind: str
    files: int
    images: int
    size: int
    formats: dict[str, int]
    sampled: int
    too_small: int
    undecodable: int
    shorter_side: Spread | None
    longer_side: Spread | None
    fingerprint: str


def inspect(source: Source, sample: int = 256, min_side: int = 32) -> Inspection:
    """Count the images of `source`, and decode the first `sample` of them as training does.

    Args:
        min_side: fewest pixels that the shorter side of an image may have.
    """
    raws = list(islice(source.images(), sample))
    images, too_small = [], 0
    for raw in raws:
        try:
            image = decode(raw, min_side)
            to_rgb(image)
        except TooSmallError:
            too_small += 1
        except UnusableError:
            pass
        else:
            images.append((image.format or "unknown", image.size))
    return Inspection(
        spec=source.spec,
        kind=source.kind,
        files=len(source.names),
        images=count_images(source),
        size=size_in_bytes(source),
        formats=dict(Counter(encoding for encoding, _ in images)),
        sampled=len(raws),
        too_small=too_small,
        undecodable=len(raws) - len(images) - too_small,
        shorter_side=Spread.of(min(size) for _, size in images),
        longer_side=Spread.of(max(size) for _, size in images),
        fingerprint=fingerprint(source),
    )
