"""Pictures that a page holds within itself."""

import base64
import hashlib
import os
from pathlib import Path

from diva.documents import read_file
from diva.errors import Damaged, Unsafe
from diva.evaluation.section import Picture
from diva.images import UnusableError, decode_image

PNG = b"\x89PNG\r\n\x1a\n"


def read_picture(path: Path, folder: Path) -> Picture:
    """Read the PNG at `path`, which must lie in `folder`: a page may not carry pictures from elsewhere along.

    Raises:
        InputError: it lies elsewhere, cannot be read, or is no whole PNG.
    """
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise Unsafe(path, f"does not lie in {folder}; make it again")
    content = read_file(path)
    if not content.startswith(PNG):
        raise Damaged(path, "is not a PNG; make it again")
    try:
        width, height = decode_image(content).size
    except UnusableError as error:
        raise Damaged(path, f"cannot be used ({error}); make it again") from error
    encoded = base64.b64encode(content).decode()
    return Picture(
        path=str(path),
        sha256=hashlib.sha256(content).hexdigest(),
        width=width,
        height=height,
        uri=f"data:image/png;base64,{encoded}",
    )
