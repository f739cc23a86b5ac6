"""Images that are still encoded, as sources list them: cheap to hold and to skip, read only when needed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from diva.documents import open_file, read_file
from diva.errors import InputError
from diva.images import MAX_BYTES, UnusableError


class RawImage(Protocol):
    """One encoded image of a source."""

    @property
    def key(self) -> str:
        """Its name within the source, as logs and reports show it."""

    def load(self) -> bytes:
        """Return the encoded bytes.

        Raises:
            UnusableError: they cannot be read.
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
        """Return the encoded bytes.

        Raises:
            UnusableError: it is not a regular file, cannot be read, is cut short, or has more than 256 MiB.
        """
        try:
            if self.size < 0:
                return read_file(Path(self.path), MAX_BYTES)
            if self.size > MAX_BYTES:
                raise UnusableError(f"has {self.size:,} bytes, which is too large")
            with open_file(Path(self.path)) as file:
                file.seek(self.offset)
                content = file.read(self.size)
        except (InputError, OSError) as error:
            raise UnusableError(str(error).removeprefix(f"{self.path}: ").partition(";")[0]) from error
        if len(content) < self.size:
            raise UnusableError("its tar is truncated")
        return content


@dataclass(frozen=True, slots=True)
class Loss:
    """Images of a file that are not read, and why.

    Attributes:
        images: how many of them count as unusable; 0 where they are passed over on purpose.
    """

    key: str
    reason: str
    images: int

    def load(self) -> bytes:
        """Raise: there is nothing to read."""
        raise UnusableError(self.reason)
