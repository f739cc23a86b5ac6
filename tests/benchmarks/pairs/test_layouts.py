import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diva.errors import Damaged, InputError, Invalid, Unsafe
from diva_benchmarks.pairs.layouts import read_pairs
from diva_benchmarks.pairs.sets import SETS
from tests.fixtures.pairs import WRITERS, picture, texts, write_plain

# set → how many pairs its fixture has, and the categories in order
EXPECTED = {
    "mmvp": (18, 9),
    "winoground": (4, 1),
    "whatsup": (8, 4),
    "colorswap": (4, 1),
    "sugarcrepe": (14, 7),
    "sugarcrepe-pp": (10, 5),
    "vismin": (4, 1),
    "bivlc": (4, 1),
    "eqben": (4, 1),
    "plain": (4, 1),
}


@pytest.mark.parametrize("name", SETS)
def test_every_set_is_read_in_the_layout_of_its_release(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    found, facts = read_pairs(name, tmp_path), SETS[name]
    assert (len(found.pairs), len({pair.category for pair in found.pairs})) == EXPECTED[name]
    assert len({pair.id for pair in found.pairs}) == len(found.pairs)
    for pair in found.pairs:
        assert (len(pair.statements), len(pair.images)) == (facts.texts, facts.images)
        assert len(set(pair.statements)) == facts.texts
        assert all(image.decode().mode == "RGB" for image in pair.images)
    assert len(found.fingerprint) == 64


@pytest.mark.parametrize("name", ["winoground", "colorswap", "vismin", "bivlc", "eqben", "plain"])
def test_the_first_statement_is_true_of_the_first_image(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    for number, pair in enumerate(read_pairs(name, tmp_path).pairs):
        assert pair.statements == texts(number)
        for image, flipped in zip(pair.images, (False, True), strict=True):
            expected = Image.open(io.BytesIO(picture(number, flipped=flipped)))
            assert np.array_equal(image.decode(), expected)


def test_whatsup_pairs_opposite_relations_of_the_same_objects(tmp_path: Path) -> None:
    WRITERS["whatsup"](tmp_path)
    pairs = {pair.id: pair for pair in read_pairs("whatsup", tmp_path).pairs}
    pair = pairs["controlled_clevr/mug_in-front_table"]
    assert pair.statements[:2] == ("A mug in-front of a table", "A mug behind a table")
    assert set(pair.statements[2:]) == {"A mug left of a table", "A mug right of a table"}
    assert [image.path.name for image in pair.images] == ["mug_in-front_of_table.jpeg", "mug_behind_table.jpeg"]


def test_an_image_without_its_opposite_makes_no_pair(tmp_path: Path) -> None:
    WRITERS["whatsup"](tmp_path)
    path = tmp_path / "controlled_images_dataset.json"
    rows = json.loads(path.read_text())
    path.write_text(json.dumps([row for row in rows if "mug_under" not in row["image_path"]]))
    assert len(read_pairs("whatsup", tmp_path).pairs) == 7


@pytest.mark.parametrize("name", sorted(SETS))
def test_an_empty_folder_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_pairs(name, tmp_path)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["winoground", "whatsup", "sugarcrepe", "sugarcrepe-pp", "eqben", "plain"])
def test_a_missing_image_is_named(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    image = read_pairs(name, tmp_path).pairs[1].images[-1].path
    image.unlink()
    with pytest.raises(Damaged, match=f"{re.escape(str(image.with_suffix('')))}.*:"):
        read_pairs(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "file", "field"),
    [
        ("winoground", "data/examples.jsonl", "caption_1"),
        ("whatsup", "controlled_clevr_dataset.json", "caption_options"),
        ("sugarcrepe", "swap_obj.json", "negative_caption"),
        ("sugarcrepe-pp", "swap_atribute.json", "caption2"),
        ("eqben", "all_select.json", "image1"),
        ("plain", "pairs.jsonl", "statements"),
    ],
)
def test_a_missing_field_is_named_with_its_file(name: str, file: str, field: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    path = tmp_path / file
    path.write_text(path.read_text().replace(f'"{field}"', '"other"'))
    with pytest.raises(Damaged, match=rf"{re.escape(str(path))}.*({field}|four captions)"):
        read_pairs(name, tmp_path)


@pytest.mark.parametrize("name", ["colorswap", "vismin", "bivlc"])
def test_a_table_of_another_set_is_refused_by_its_columns(name: str, tmp_path: Path) -> None:
    WRITERS["bivlc" if name != "bivlc" else "vismin"](tmp_path)
    with pytest.raises(Damaged, match=r"test-00000-of-00001\.parquet:"):
        read_pairs(name, tmp_path)


def test_a_damaged_table_and_a_cell_without_an_image_are_refused(tmp_path: Path) -> None:
    WRITERS["vismin"](tmp_path)
    path = tmp_path / "data" / "test-00000-of-00001.parquet"
    image = read_pairs("vismin", tmp_path).pairs[3].images[1]
    content = path.read_bytes()
    path.write_bytes(content.replace(picture(3, flipped=True), b"\0" * len(picture(3, flipped=True))))
    with pytest.raises(Damaged, match=r"image_1.*0.*group 1"):
        image.decode()
    path.write_bytes(content[:100])
    with pytest.raises(Damaged, match="Parquet"):
        read_pairs("vismin", tmp_path)


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"statements": ["a", ""]}, pytest.raises(Damaged, match="line 1:")),
        ({"images": ["images/0-0.jpg"]}, pytest.raises(Damaged, match="line 1: images:")),
        ({"images": ["images/0-0.jpg", "../x.jpg"]}, pytest.raises(Unsafe, match=r"line 1: \.\./x\.jpg:")),
        ({"images": ["images/0-0.jpg", "/etc/x.jpg"]}, pytest.raises(Unsafe, match=r"line 1: /etc/x.jpg:")),
    ],
)
def test_a_line_that_cannot_be_used_is_named(
    change: dict[str, object], refused: pytest.RaisesExc[Exception], tmp_path: Path
) -> None:
    path = write_plain(tmp_path) / "pairs.jsonl"
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps(json.loads(first) | change), *rest]))
    with refused:
        read_pairs("plain", tmp_path)


def test_ids_and_categories_that_are_left_out_or_null_are_the_line_and_nothing(tmp_path: Path) -> None:
    path = write_plain(tmp_path, 3) / "pairs.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[1] |= {"id": None, "category": None}
    rows[2] = {name: rows[2][name] for name in ("images", "statements")}
    path.write_text("\n".join(map(json.dumps, rows)))
    found = [(pair.id, pair.category) for pair in read_pairs("plain", tmp_path).pairs]
    assert found == [("p0", "turned"), ("2", ""), ("3", "")]


def test_an_id_that_two_pairs_have_is_refused(tmp_path: Path) -> None:
    path = write_plain(tmp_path, 3) / "pairs.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["id"] = "2"  # which the second gets from its line
    del rows[1]["id"]
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(Invalid, match=rf"{re.escape(str(path))}: .*'2'.*2"):
        read_pairs("plain", tmp_path)
