"""What a source holds, for a look before a run."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Self

from diva.data.decode import decode, to_rgb
from diva.data.raw import Loss
from diva.data.source import Source, fingerprint, listed, size_in_bytes
from diva.images import TooSmallError, UnusableError
from diva.progress import steps


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
        files, images, size: files, images that can be read from them, and the files' bytes.
        lost: images that damaged files have lost, by img2dataset's statistics or estimated from their bytes.
        damaged: those files, and how each is damaged.
        left_out: what is passed over on purpose, within a file or beside the files.
        formats: how many of the sampled images are in each encoding, by PIL's names.
        sampled: images that were decoded: the first ones, in the source's order.
        too_small: those of them with a side of too few pixels to be trained on.
        undecodable: those that cannot be used for another reason, each with its reason.
        shorter_side, longer_side: of the others; None if there are none.
    """

    spec: str
    kind: str
    files: int
    images: int
    lost: int
    damaged: list[str]
    left_out: list[str]
    size: int
    formats: dict[str, int]
    sampled: int
    too_small: int
    undecodable: list[str]
    shorter_side: Spread | None
    longer_side: Spread | None
    fingerprint: str


def inspect(source: Source, sample: int = 256, min_side: int = 32) -> Inspection:
    """Count the images of `source`, and decode the first `sample` of them as training does.

    Args:
        min_side: fewest pixels that the shorter side of an image may have.
    """
    total, too_small, lost = 0, 0, 0
    images: list[tuple[str, tuple[int, int]]] = []
    undecodable: list[str] = []
    damaged: list[str] = []
    left_out = [listed(source.left_out)] if source.left_out else []
    for raw in steps(source.images(), "reading images"):
        if isinstance(raw, Loss):
            lost += raw.images
            (damaged if raw.images else left_out).append(f"{raw.key}: {raw.reason}")
            continue
        total += 1
        if total > sample:
            continue
        try:
            image = decode(raw, min_side)
            to_rgb(image)
        except TooSmallError:
            too_small += 1
        except UnusableError as error:
            undecodable.append(f"{raw.key}: {error}")
        else:
            images.append((image.format or "unknown", image.size))
    return Inspection(
        spec=source.spec,
        kind=source.kind,
        files=len(source.names),
        images=total,
        lost=lost,
        damaged=damaged,
        left_out=left_out,
        size=size_in_bytes(source),
        formats=dict(Counter(encoding for encoding, _ in images)),
        sampled=min(total, sample),
        too_small=too_small,
        undecodable=undecodable,
        shorter_side=Spread.of(min(size) for _, size in images),
        longer_side=Spread.of(max(size) for _, size in images),
        fingerprint=fingerprint(source),
    )
