import os
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from diva.errors import Damaged, Invalid
from diva.tables import image_at, table_rows
from tests.fixtures.images import crops, encode

IMAGES = crops(5, side=8)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Five rows in groups of two; the images as bytes, and as the hub keeps them."""
    path = tmp_path / "test.parquet"
    encoded = [encode(image, "png") for image in IMAGES]
    hub = [{"bytes": each, "path": None} for each in encoded]
    columns = {"plain": encoded, "hub": hub, "text": list("abcde"), "bad": [b"torn", None, b"", b"a", None]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=2)
    return path


@pytest.mark.parametrize("column", ["plain", "hub"])
def test_an_image_is_found_by_its_row_in_the_file(column: str, table: Path) -> None:
    assert [image_at(table, column, row).decode() for row in range(5)] == IMAGES
    found = [row[column] for row in table_rows(table, ["text"], [column])]
    assert found == [image_at(table, column, row) for row in range(5)]


@pytest.mark.parametrize(
    ("column", "row", "says"),
    [
        ("text", 3, r"text, row 1 of group 1: cannot be decoded \(it holds no image\); fetch"),
        ("bad", 0, r"bad, row 0 of group 0: cannot be decoded \(cannot identify it"),
        ("bad", 4, r"bad, row 0 of group 2: cannot be decoded \(it holds no image\); fetch"),
        ("other", 0, "no column other; fetch the data set again"),
        ("plain", 5, "has fewer rows than when its questions were read"),
    ],
)
def test_what_is_no_image_is_named(column: str, row: int, says: str, table: Path) -> None:
    with pytest.raises(Damaged, match=rf"test\.parquet: {says}"):
        image_at(table, column, row).decode()


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "test.parquet"
    os.mkfifo(path)
    for read in (lambda: next(table_rows(path, ["text"])), lambda: image_at(path, "plain", 0)):
        with pytest.raises(Invalid, match=r"test\.parquet:"):
            read()


def test_a_text_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "test.parquet"
    text = pyarrow.array([b"\xff"]).view(pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table({"text": text}), path)
    with pytest.raises(Damaged, match="Parquet"):
        next(table_rows(path, ["text"]))
