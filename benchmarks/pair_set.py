"""Images with the statements that are true of one of them, as benchmarks of pairs hold them."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from diva.errors import Invalid
from diva.tables import TableImage
from diva.towers.checkpoint import file_sha256
from diva_benchmarks.stored_image import StoredImage


@dataclass(frozen=True)
class Pair:
    """Images, and statements of which the first are true of them in their order.

    Attributes:
        id: unique in its set.
        category: what the images differ in; empty where a set has no categories.
    """

    id: str
    category: str
    statements: tuple[str, ...]
    images: tuple[StoredImage | TableImage, ...]

    def image_names(self, folder: Path) -> list[str]:
        """Return where each image lies in `folder`, and in which cell of a table."""
        return [
            image.path.relative_to(folder).as_posix()
            + (f": {image.column} {image.group}/{image.row}" if isinstance(image, TableImage) else "")
            for image in self.images
        ]


@dataclass(frozen=True)
class PairSet:
    """A folder of pairs, all of as many statements and images.

    Attributes:
        files: that name statements and images.

    Raises:
        InputError: two pairs have one id.
    """

    folder: Path
    pairs: tuple[Pair, ...]
    files: tuple[Path, ...]

    def __post_init__(self) -> None:
        """Check the ids, by which two results are compared."""
        for name, count in Counter(pair.id for pair in self.pairs).items():
            if count > 1:
                raise Invalid(self.files[0], f"id '{name}'", f"{count} pairs have it; give each pair its own id")

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the SHA-256s of `files` and of every image's file in order, wherever they lie."""
        files = dict.fromkeys([*self.files, *(image.path for pair in self.pairs for image in pair.images)])
        return hashlib.sha256("".join(map(file_sha256, files)).encode()).hexdigest()
