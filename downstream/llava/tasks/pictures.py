"""The pictures of a benchmark, decoded once however many questions are asked about each."""

import base64
import binascii
import io
from functools import cache, lru_cache
from pathlib import Path

import pandas
from PIL import Image

from benchmarks.stored_image import StoredImage
from diva.errors import InputError


@cache
def picture_file(path: str) -> Image.Image:
    """Return the image file at `path` in RGB.

    Raises:
        InputError: it is missing or cannot be decoded.
    """
    return StoredImage(Path(path)).decode()


@cache
def picture_of_row(tsv: str, index: int) -> Image.Image:
    """Return the picture of the row with that `index` of an MMBench TSV, in RGB.

    The newer files write the index of another row in place of a picture that stands there already.

    Raises:
        InputError: the row's picture cannot be decoded.
    """
    encoded = _column(tsv)[index]
    if encoded.isdecimal() and int(encoded) != index:
        return picture_of_row(tsv, int(encoded))
    try:
        with Image.open(io.BytesIO(base64.b64decode(encoded, validate=True))) as image:
            return image.convert("RGB")
    except (OSError, ValueError, binascii.Error) as error:
        raise InputError(f"{tsv}: image of row {index}: cannot be decoded; fetch the file again") from error


@lru_cache(maxsize=1)
def _column(tsv: str) -> dict[int, str]:
    table = pandas.read_table(tsv, usecols=["index", "image"], dtype={"index": "int64", "image": "str"})
    return dict(zip(table["index"], table["image"], strict=True))
