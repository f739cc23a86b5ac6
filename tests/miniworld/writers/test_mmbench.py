import base64
import csv
from collections import defaultdict
from io import BytesIO
from pathlib import Path

from PIL import Image

from diva.miniworld.render import SIZE
from diva.miniworld.vocabulary import NAMES
from tests.miniworld.writers.conftest import COUNTS

CIRCULAR = 1_000_000


def _rows(world: Path) -> list[dict[str, str]]:
    with (world / "mmbench" / "MMBench_DEV_EN.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_every_question_comes_in_all_rotations_with_the_answer_carried_along(world: Path) -> None:
    groups = defaultdict(list)
    for row in _rows(world):
        groups[int(row["index"]) % CIRCULAR].append(row)
    assert sorted(groups) == list(range(COUNTS.questions))
    for rows in groups.values():
        options = [[row[letter] for letter in "ABCD" if row[letter]] for row in rows]
        assert len(rows) == len(options[0])
        assert sorted(options) == sorted(options[0][turn:] + options[0][:turn] for turn in range(len(rows)))
        assert len({row[row["answer"]] for row in rows}) == 1
        assert len({row["image"] for row in rows}) == 1
        assert {row["category"] for row in rows} <= set(NAMES)


def test_the_pictures_decode(world: Path) -> None:
    for row in _rows(world):
        with Image.open(BytesIO(base64.b64decode(row["image"]))) as image:
            assert image.size == (SIZE, SIZE)
