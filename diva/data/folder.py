"""A folder of image files, at any depth."""

from collections.abc import Sequence
from dataclasses import dataclass

from diva.data.raw import FileSlice
from diva.data.source import Source


@dataclass(frozen=True)
class FolderSource(Source):
    """Image files; each is a unit of its own, so their order is shuffled completely."""

    kind = "folder"

    def units(self, stream: int, streams: int) -> Sequence[tuple[FileSlice]]:
        """Return every `streams`-th file, from number `stream` on."""
        return [(FileSlice(name, str(self.root / name)),) for name in self.names[stream::streams]]
