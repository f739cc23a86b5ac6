"""Pictures that a page holds within itself."""

import base64
import hashlib
from pathlib import Path

from pydantic import Field

from benchmarks.report.part import Part
from diva.errors import InputError

PNG = b"\x89PNG\r\n\x1a\n"


class Picture(Part):
    """A PNG file: the page embeds it, `report.json` says which it was."""

    path: str
    sha256: str
    uri: str = Field(exclude=True, repr=False)


def read_picture(path: Path) -> Picture:
    """Read the PNG at `path`.

    Raises:
        InputError: it cannot be read, or is no PNG.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); make it again") from error
    if not content.startswith(PNG):
        raise InputError(f"{path}: is no PNG; make it again")
    encoded = base64.b64encode(content).decode()
    return Picture(
        path=str(path), sha256=hashlib.sha256(content).hexdigest(), uri=f"data:image/png;base64,{encoded}"
    )
