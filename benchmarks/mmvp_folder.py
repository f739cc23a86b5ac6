"""Reading an MMVP-VLM folder in its official layout.

`Questions.csv` has the columns Question ID, Type and Statement. Consecutive rows form a pair, an odd id and the
even id after it; its images are `<images>/<type of the first row>/<id>.jpg`. The images' folder is called
`MLLM_VLM Images` in the published data set and in MMVP's own script, `MMVP_VLM_Images` in MMVP's README, and
`MLLM_VLM_Images` in DIVA; the README also draws underscores for the spaces of a type. All are accepted.

MMVP's script leaves the type out of the scores and takes the category from the position (pair index // 15, in
the order of `TITLES`). Here the type decides: for the 135 published pairs that is the same, and it asks for
neither nine categories nor fifteen pairs in each. A published type is shown by its title in the paper.
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from diva.documents import read_file
from diva.errors import Damaged, Missing
from diva_benchmarks.pair_set import Pair, PairSet
from diva_benchmarks.stored_image import StoredImage

QUESTIONS = "Questions.csv"
COLUMNS = ("Question ID", "Type", "Statement")
IMAGE_FOLDERS = ("MLLM_VLM_Images", "MLLM_VLM Images", "MMVP_VLM_Images")
DIGITS = 9  # of an id; Python refuses to read numbers of thousands
SUFFIXES = (".jpg", ".jpeg", ".png")
TITLES = {
    "orientation": "Orientation and Direction",
    "presence": "Presence of Specific Features",
    "state": "State and Condition",
    "quantity": "Quantity and Count",
    "spatial": "Positional and Relational Context",
    "color": "Color and Appearance",
    "structural character": "Structural Characteristics",
    "text": "Texts",
    "camera perspective": "Viewpoint and Perspective",
}


class _Row(NamedTuple):
    id: int
    type: str
    statement: str


def read_mmvp(folder: Path) -> PairSet:
    """Read an MMVP-VLM folder; images are looked for, not yet decoded.

    Raises:
        InputError: the CSV or a column is missing, its rows do not form pairs, or an image is missing.
    """
    rows = _read_rows(folder / QUESTIONS)
    if not rows or len(rows) % 2:
        raise Damaged(
            folder / QUESTIONS,
            f"{len(rows)} rows do not form pairs; each image pair needs two rows, one after the other",
        )
    types = _type_folders(folder)
    pairs = tuple(_pair(folder, types, *rows[index : index + 2]) for index in range(0, len(rows), 2))
    return PairSet(folder, pairs, (folder / QUESTIONS,))


def category_of(kind: str) -> str:
    """Return the title of a published type, however it is spelt; any other type is its own category."""
    kind = kind.replace("_", " ").strip()
    return TITLES.get(kind.casefold(), kind)


def _read_rows(path: Path) -> list[_Row]:
    try:
        reader = csv.DictReader(io.StringIO(read_file(path).decode("utf-8-sig"), newline=""))
        names = {name.replace("_", " ").strip().casefold(): name for name in reader.fieldnames or ()}
        missing = [column for column in COLUMNS if column.casefold() not in names]
        if missing:
            raise Missing(path, f"no column {' or '.join(missing)}; the official header is {','.join(COLUMNS)}")
        columns = [names[column.casefold()] for column in COLUMNS]
        return [_row(path, reader.line_num, [line[column] for column in columns]) for line in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise Damaged(path, f"cannot be read ({error}); give MMVP-VLM's folder, see docs/data.md") from error


def _row(path: Path, line: int, cells: list[str | None]) -> _Row:
    number, kind, statement = ((cell or "").strip() for cell in cells)
    if not number.isdecimal() or len(number) > DIGITS or not kind or not statement:
        raise Damaged(path, f"line {line}", "needs a whole number, a type and a statement; fix the row")
    return _Row(int(number), kind, statement)


def _type_folders(folder: Path) -> dict[str, Path]:
    for name in IMAGE_FOLDERS:
        if (folder / name).is_dir():
            return {category_of(path.name): path for path in (folder / name).iterdir() if path.is_dir()}
    raise Missing(folder, f"no images' folder; one of {', '.join(IMAGE_FOLDERS)} must lie there")


def _pair(folder: Path, types: Mapping[str, Path], first: _Row, second: _Row) -> Pair:
    if first.id % 2 == 0 or second.id != first.id + 1 or category_of(first.type) != category_of(second.type):
        raise Damaged(
            folder / QUESTIONS,
            f"rows {first.id} ({first.type}) and {second.id} ({second.type}) are no pair;"
            " an odd id and the next even id of the same type must follow each other",
        )
    category = category_of(first.type)
    if category not in types:
        raise Missing(folder, f"no folder of images for the type '{first.type}'; copy it there")
    return Pair(
        id=f"{first.id}-{second.id}",
        category=category,
        statements=(first.statement, second.statement),
        images=(_find_image(types[category], first.id), _find_image(types[category], second.id)),
    )


def _find_image(folder: Path, number: int) -> StoredImage:
    for suffix in SUFFIXES:
        path = folder / f"{number}{suffix}"
        if path.is_file():
            return StoredImage(path)
    raise Damaged(folder / str(number), f"no such image ({', '.join(SUFFIXES)}); fetch the data set again")
