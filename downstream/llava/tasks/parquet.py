"""Tables of the hub, which hold questions with their pictures."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from PIL import Image

from diva.errors import Missing
from diva.tables import image_at, table_rows
from diva_downstream.llava.tasks.source import Document


def find_tables(data: str | Path | None, patterns: Sequence[str]) -> list[Path]:
    """Return the files of the first of `patterns`, relative to the folder `data`, that has any.

    Raises:
        InputError: no folder was named, or none of the patterns has a file.
    """
    if data is None:
        raise Missing("data", "no folder is named; give lm_eval --metadata data=FOLDER, see docs/llava.md")
    for pattern in patterns:
        if found := sorted(Path(data).glob(pattern)):
            return found
    raise Missing(data, f"holds none of {', '.join(patterns)}; put the official files there, see docs/llava.md")


def read_rows(paths: Sequence[Path], columns: Sequence[str]) -> Iterator[tuple[Path, int, Document]]:
    """Yield file, number and content of every row, of the `columns` alone.

    Raises:
        InputError: a file cannot be read, or lacks a column.
    """
    for path in paths:
        yield from ((path, number, row) for number, row in enumerate(table_rows(path, columns)))


@cache
def picture_of(path: str, row: int, column: str) -> Image.Image:
    """Return a picture in RGB.

    Args:
        row: as `read_rows` numbers it.

    Raises:
        InputError: it is missing or cannot be decoded.
    """
    return image_at(Path(path), column, row).decode()
