"""Tables of the hub, which hold questions with their pictures."""

from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import pyarrow.parquet
from PIL import Image
from pyarrow import ArrowException

from diva.errors import InputError
from diva.images import UnusableError, decode_image
from diva_downstream.llava.tasks.source import Document

FILES_KEPT = 4  # columns of encoded pictures


def find_tables(data: str | Path | None, patterns: Sequence[str]) -> list[Path]:
    """Return the files of the first of `patterns`, relative to the folder `data`, that has any.

    Raises:
        InputError: no folder was named, or none of the patterns has a file.
    """
    if data is None:
        raise InputError("data: no folder is named; give lm_eval --metadata data=FOLDER, see docs/llava.md")
    for pattern in patterns:
        if found := sorted(Path(data).glob(pattern)):
            return found
    raise InputError(
        f"{data}: holds none of {', '.join(patterns)}; put the official files there, see docs/llava.md"
    )


def read_rows(paths: Sequence[Path], columns: Sequence[str]) -> Iterator[tuple[Path, int, Document]]:
    """Yield file, number and content of every row, of the `columns` alone.

    Raises:
        InputError: a file cannot be read, or lacks a column.
    """
    for path in paths:
        rows = _read(path, columns).to_pylist()
        yield from ((path, number, row) for number, row in enumerate(rows))


@cache
def picture_of(path: str, row: int, column: str) -> Image.Image:
    """Return a picture in RGB.

    Raises:
        InputError: it is missing or cannot be decoded.
    """
    value = _column(path, column)[row].as_py()
    content = value.get("bytes") if isinstance(value, dict) else value
    try:
        return decode_image(content or b"").convert("RGB")
    except UnusableError as error:
        raise InputError(
            f"{path}: {column} of row {row} cannot be decoded ({error}); fetch the file again"
        ) from error


@lru_cache(maxsize=FILES_KEPT)
def _column(path: str, name: str) -> Any:
    return _read(Path(path), [name])[name].combine_chunks()


def _read(path: Path, columns: Sequence[str]) -> Any:
    try:
        table = pyarrow.parquet.ParquetFile(path)
        missing = [name for name in columns if name not in table.schema_arrow.names]
        if missing:
            raise InputError(f"{path}: no column {' or '.join(missing)}; give the official file")
        return table.read(columns=list(columns))
    except (ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read as a Parquet table ({error}); fetch it again") from error
