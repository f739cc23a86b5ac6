"""The pictures of a benchmark, decoded once however many questions are asked about each."""

import base64
import io
from functools import cache, lru_cache
from pathlib import Path

import pandas
from PIL import Image

from diva.documents import read_file
from diva.errors import Damaged, InputError, first_line
from diva.images import UnusableError, decode_image, read_image

DIGITS = 18  # of the number of a row, which is kept in 64 bits
MAX_BYTES = 2**29  # of a table, which holds its pictures


def is_index(text: object) -> bool:
    """Tell whether a cell is the number of a row."""
    return str(text).isdecimal() and len(str(text)) <= DIGITS


@cache
def picture_file(path: str) -> Image.Image:
    """Return the image file at `path` in RGB.

    Raises:
        InputError: it is missing or cannot be decoded.
    """
    try:
        return read_image(Path(path)).convert("RGB")
    except UnusableError as error:
        raise Damaged(path, f"this picture cannot be read ({error}); fetch it again") from error


@cache
def picture_of_row(tsv: str, index: int) -> Image.Image:
    """Return the picture of the row with that `index` of an MMBench TSV, in RGB.

    The newer files write the index of another row in place of a picture that stands there already.

    Raises:
        InputError: the row has no picture, names a row without one, or its picture cannot be decoded.
    """
    column, named = dict(_column(tsv)), index
    encoded = column[named]
    while is_index(encoded) and int(encoded) != named:
        named = int(encoded)
        encoded = column.pop(named, "")  # each is followed once: two rows may name each other
    if encoded and named != index:
        return picture_of_row(tsv, named)
    try:
        return decode_image(base64.b64decode(encoded, validate=True)).convert("RGB")
    except (UnusableError, ValueError) as error:
        where = "" if named == index else f", which names row {named},"
        raise Damaged(
            tsv, f"image of row {index}{where} cannot be decoded ({error}); fetch the file again"
        ) from error


def read_table(tsv: str) -> pandas.DataFrame:
    """Return an MMBench TSV with every cell as the text that stands there.

    Raises:
        InputError: it cannot be read as a table, or is larger than 512 MiB.
    """
    try:
        return pandas.read_table(io.BytesIO(read_file(Path(tsv), MAX_BYTES)), dtype=str, keep_default_na=False)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise Damaged(tsv, f"cannot be read as a table ({first_line(error)}); give MMBench's TSV") from error


@lru_cache(maxsize=1)
def _column(tsv: str) -> dict[int, str]:
    table = read_table(tsv)
    return dict(zip(map(int, table["index"]), table["image"], strict=True))
