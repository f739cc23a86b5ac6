"""A folder of image files, at any depth."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from diva.data.raw import FileSlice
from diva.data.source import Source


@dataclass(frozen=True)
class FolderSource(Source):
    """Image files; each is a unit of its own, so their order is shuffled completely."""

    kind = "folder"

    def order_digest(self) -> str:
        """Return a digest of the files' names: sizes play no part, and there may be millions to look up."""
        return hashlib.sha256("\n".join(self.names).encode(errors="surrogateescape")).hexdigest()

    def units(self, stream: int, streams: int) -> Sequence[tuple[FileSlice]]:
        """Return every `streams`-th file, from number `stream` on."""
        return [(FileSlice(name, str(self.root / name)),) for name in self.names[stream::streams]]
