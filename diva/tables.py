"""Reading Parquet tables that came from elsewhere, which hold encoded images as the Hugging Face hub keeps them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image
from pyarrow import ArrowException, ChunkedArray, parquet

from diva.documents import open_file
from diva.errors import Damaged, InputError, first_line
from diva.images import UnusableError, decode_image


@dataclass(frozen=True, slots=True)
class TableImage:
    """One cell of an image column: the encoded image, or a mapping that holds it as `bytes`.

    Attributes:
        group, row: the row group, and the row in it.
    """

    path: Path
    column: str
    group: int
    row: int

    def decode(self) -> Image.Image:
        """Return the image in RGB.

        Raises:
            InputError: it cannot be read or decoded; the sentence names the table and the cell.
        """
        column = _column(self.path, self.column, self.group)
        try:
            cell = column[self.row].as_py()
            content = cell.get("bytes") if isinstance(cell, dict) else cell
            return decode_image(_encoded(content)).convert("RGB")
        except (UnusableError, ValueError, LookupError) as error:
            where = f"{self.path}: {self.column}, row {self.row} of group {self.group}"
            raise Damaged(where, f"cannot be decoded ({error}); fetch the data set again") from error


def table_rows(path: Path, columns: Sequence[str], images: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Yield each row of a Parquet file: its `columns`, and its `images` as `TableImage`; no image is read yet.

    Raises:
        InputError: it cannot be read, or lacks a column.
    """
    with _opened(path, [*columns, *images]) as table:
        for group in range(table.num_row_groups):
            for row, found in enumerate(table.read_row_group(group, columns=list(columns)).to_pylist()):
                yield found | {name: TableImage(path, name, group, row) for name in images}


def image_at(path: Path, column: str, row: int) -> TableImage:
    """Return the image in a row, which is counted from the start of the file.

    Raises:
        InputError: the file cannot be read, or ends before that row.
    """
    for group, size in enumerate(_group_sizes(path)):
        if row < size:
            return TableImage(path, column, group, row)
        row -= size
    raise Damaged(path, "has fewer rows than when its questions were read; fetch the data set again")


def _encoded(content: object) -> bytes:
    if not isinstance(content, bytes):
        raise UnusableError("it holds no image")
    return content


@lru_cache(maxsize=4)  # the images of a row group are read one after the other, of several columns at once
def _column(path: Path, column: str, group: int) -> ChunkedArray:
    with _opened(path, [column]) as table:
        return table.read_row_group(group, columns=[column])[column]


@lru_cache(maxsize=4)
def _group_sizes(path: Path) -> tuple[int, ...]:
    with _opened(path) as table:
        return tuple(table.metadata.row_group(group).num_rows for group in range(table.num_row_groups))


@contextmanager
def _opened(path: Path, columns: Sequence[str] = ()) -> Iterator[parquet.ParquetFile]:
    with open_file(path) as file:  # pyarrow itself would wait for a FIFO
        try:
            table = parquet.ParquetFile(file)
            _check(path, table, columns)
            yield table
        except InputError:
            raise
        except (ArrowException, OSError, ValueError, LookupError) as error:
            raise Damaged(path, f"is not a Parquet table ({first_line(error)}); fetch it again") from error


def _check(path: Path, table: parquet.ParquetFile, columns: Sequence[str]) -> None:
    if missing := [name for name in columns if name not in table.schema_arrow.names]:
        raise Damaged(path, f"no column {' or '.join(missing)}; fetch the data set again")
