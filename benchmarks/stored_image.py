"""An encoded image where it lies, a file or a member of a tar, read and decoded only when needed."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from diva.data.raw import FileSlice
from diva.errors import Damaged
from diva.images import UnusableError, decode_image


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One encoded image.

    Attributes:
        path: the file, or the tar.
        member: the name within the tar; None for a file.
        offset, size: where its bytes lie in `path`; a size of -1 means until the end.
    """

    path: Path
    member: str | None = None
    offset: int = 0
    size: int = -1

    def decode(self) -> Image.Image:
        """Return the image in RGB.

        Raises:
            InputError: it cannot be read or decoded; the sentence names the tar and the member.
        """
        try:
            encoded = FileSlice(self.member or self.path.name, str(self.path), self.offset, self.size).load()
            return decode_image(encoded).convert("RGB")
        except (UnusableError, ValueError) as error:  # ValueError: a colour mode that PIL does not convert
            place = f"{self.path}: {self.member}" if self.member else str(self.path)
            raise Damaged(place, f"cannot be decoded ({error}); fetch the data set again") from error
