"""Datasets on disk: which column is read, and where its bytes come from."""

import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, Features, Image

from diva.data import open_source
from diva.data.decode import decode
from diva.data.saved_dataset import Row
from diva.errors import Damaged
from diva.images import UnusableError
from tests.fixtures.images import crops, write_image_folder


def test_the_rows_decode_to_the_images_that_were_saved(saved_dataset: Path) -> None:
    images = [np.asarray(decode(raw, 1)) for raw in open_source(str(saved_dataset)).images()]
    np.testing.assert_array_equal(images, [np.asarray(image) for image in crops(12, side=40)])


def test_the_column_image_comes_before_other_image_columns(tmp_path: Path) -> None:
    first, second = crops(2, side=40)
    features = Features({"depth": Image(), "image": Image()})
    Dataset.from_dict({"depth": [first], "image": [second]}, features=features).save_to_disk(tmp_path / "two")
    (raw,) = open_source(str(tmp_path / "two")).images()
    np.testing.assert_array_equal(decode(raw, 1), second)


def test_images_that_the_table_only_refers_to_are_read_from_their_files(tmp_path: Path) -> None:
    (photo,) = crops(1, side=40)
    write_image_folder(tmp_path, {"photo.png": photo})
    features = Features({"image": Image()})
    Dataset.from_dict({"image": [str(tmp_path / "photo.png")]}, features=features).save_to_disk(tmp_path / "set")
    (raw,) = open_source(str(tmp_path / "set")).images()
    np.testing.assert_array_equal(decode(raw, 1), photo)


def test_offsets_that_lead_out_of_the_table_are_told(saved_dataset: Path, tmp_path: Path) -> None:
    """Reading such a row would end the process, by a segmentation fault in pyarrow."""
    copied = shutil.copytree(saved_dataset, tmp_path / "damaged")
    (first, *_), (table,) = open_source(str(copied)).images(), copied.glob("*.arrow")
    offsets = struct.pack("<ii", 0, len(first.load()))
    assert table.read_bytes().count(offsets) == 1
    table.write_bytes(table.read_bytes().replace(offsets, struct.pack("<ii", 0, 2**30)))
    with pytest.raises(Damaged, match=r"[Oo]ffset"):
        open_source(str(copied))


def test_a_row_without_an_image_is_unusable(tmp_path: Path) -> None:
    Dataset.from_dict({"image": [None]}, features=Features({"image": Image()})).save_to_disk(tmp_path / "set")
    (raw,) = open_source(str(tmp_path / "set")).images()
    with pytest.raises(UnusableError, match="the row has no image"):
        decode(raw, 1)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ({"bytes": b"", "path": None}, "the row has no image"),
        ({"bytes": None, "path": ""}, "the row has no image"),
        ({"path": None}, "the row has no image"),
        (7, "the row has no image"),
        ({"bytes": b"x", "path": None}, "cannot identify it as one of JPEG"),
        ({"bytes": None, "path": "/dev/zero"}, "is not a regular file"),
        ({"bytes": None, "path": "/nowhere"}, "No such file"),
    ],
)
def test_a_row_of_anything_else_is_unusable(cell: object, reason: str) -> None:
    rows: Any = [{"image": cell}]  # which are looked up as a data set's are
    with pytest.raises(UnusableError, match=reason):
        decode(Row(rows, "image", 0), 1)
