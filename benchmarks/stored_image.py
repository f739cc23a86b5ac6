"""An encoded image where it lies, a file or a member of a tar, read and decoded only when needed."""

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from diva.errors import InputError

EXTENSIONS = ("jpg", "jpeg", "png", "webp")


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
            with self.path.open("rb") as file:
                file.seek(self.offset)
                encoded = file.read(self.size)
            with Image.open(io.BytesIO(encoded)) as image:
                return image.convert("RGB")
        except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
            place = f"{self.path}: {self.member}" if self.member else str(self.path)
            raise InputError(f"{place}: cannot be decoded ({error}); fetch the data set again") from error
