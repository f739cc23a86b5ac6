"""An encoded image in a cell of a Parquet table, as the Hugging Face hub keeps data sets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image
from pyarrow import ArrowException, ChunkedArray, parquet

from diva.documents import open_file
from diva.errors import InputError, first_line
from diva.images import UnusableError, decode_image


@dataclass(frozen=True, slots=True)
class TableImage:
    """One cell of an image column.

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
        try:
            cell = _column(self.path, self.column, self.group)[self.row].as_py()
            return decode_image(cell["bytes"]).convert("RGB")
        except (UnusableError, ValueError, TypeError, LookupError, OSError, ArrowException) as error:
            where = f"{self.path}: {self.column}, row {self.row} of group {self.group}"
            raise InputError(f"{where}: cannot be decoded ({error}); fetch the data set again") from error


def table_rows(path: Path, texts: Sequence[str], images: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield each row of a Parquet file: its texts, and its images as `TableImage`; no image is read yet.

    Raises:
        InputError: it cannot be read, or lacks a column.
    """
    open_file(path).close()  # a FIFO would be waited for
    try:
        table = parquet.ParquetFile(path)
        if missing := [name for name in (*texts, *images) if name not in table.schema_arrow.names]:
            raise InputError(f"{path}: no column {' or '.join(missing)}; fetch the data set again")
        for group in range(table.num_row_groups):
            for row, found in enumerate(table.read_row_group(group, columns=list(texts)).to_pylist()):
                yield found | {name: TableImage(path, name, group, row) for name in images}
    except (ArrowException, OSError) as error:
        raise InputError(f"{path}: is not a Parquet table ({first_line(error)}); fetch it again") from error


@lru_cache(maxsize=4)  # the images of a row group are read one after the other, of two columns at once
def _column(path: Path, column: str, group: int) -> ChunkedArray:
    return parquet.ParquetFile(path).read_row_group(group, columns=[column]).column(0)
