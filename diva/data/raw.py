"""Images that are still encoded, as sources list them: cheap to hold and to skip, read only when needed."""

from dataclasses import dataclass
from typing import Protocol


class UnusableError(Exception):
    """An image that cannot be trained on; the message says why."""


class TooSmallError(UnusableError):
    """An image with a side of too few pixels; nothing else is wrong with it."""


class RawImage(Protocol):
    """One encoded image of a source."""

    @property
    def key(self) -> str:
        """Its name within the source, as logs and reports show it."""

    def load(self) -> bytes:
        """Return the encoded bytes.

        Raises:
            UnusableError, OSError: they cannot be read.
        """


@dataclass(frozen=True, slots=True)
class FileSlice:
    """An image file, or an image inside a tar.

    Attributes:
        path: the file.
        offset: the first byte of the image.
        size: its bytes; -1 for all until the file's end.
    """

    key: str
    path: str
    offset: int = 0
    size: int = -1

    def load(self) -> bytes:
        """Return the encoded bytes."""
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


@dataclass(frozen=True, slots=True)
class Damage:
    """A place where a source could not be read any further; it counts as one unusable image."""

    key: str
    reason: str

    def load(self) -> bytes:
        """Raise: there is nothing to read."""
        raise UnusableError(self.reason)
