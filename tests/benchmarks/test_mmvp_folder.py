import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diva.errors import Damaged, Invalid, Missing
from diva_benchmarks.mmvp_folder import TITLES, category_of, read_mmvp
from diva_benchmarks.stored_image import StoredImage
from tests.fixtures.mmvp import TYPES, photographs, write_mmvp_folder, write_questions

# MMVP's own script takes the category of pair k from this list, at k // 15
OFFICIAL = (
    "Orientation and Direction",
    "Presence of Specific Features",
    "State and Condition",
    "Quantity and Count",
    "Positional and Relational Context",
    "Color and Appearance",
    "Structural Characteristics",
    "Texts",
    "Viewpoint and Perspective",
)


@pytest.fixture
def folder(mmvp_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mmvp_folder, tmp_path / "mmvp"))


def test_the_published_layout_gives_the_categories_of_the_official_script(tmp_path: Path) -> None:
    pairs = read_mmvp(write_mmvp_folder(tmp_path, 15)).pairs
    assert len(pairs) == 135
    assert [pair.category for pair in pairs] == [OFFICIAL[index // 15] for index in range(135)]
    assert pairs[15].id == "31-32"
    assert [image.path.name for image in pairs[134].images] == ["269.jpg", "270.jpg"]
    assert pairs[134].images[0].path.parent == tmp_path / "MLLM_VLM Images" / "Camera Perspective"


def test_statements_and_images_of_a_pair_keep_the_order_of_the_rows(mmvp_folder: Path) -> None:
    pair = read_mmvp(mmvp_folder).pairs[2]
    assert pair.statements == (
        "a cat the right way up, tilted by 14 degrees",
        "a cat upside down, tilted by 14 degrees",
    )
    first, second = (np.asarray(image.decode(), dtype=float) for image in pair.images)
    expected = np.asarray(photographs()[2].rotate(14), dtype=float)
    assert np.abs(first - expected).mean() < 6  # JPEG's loss
    assert np.abs(second - expected[::-1]).mean() < 6


@pytest.mark.parametrize("images", ["MLLM_VLM_Images", "MLLM_VLM Images", "MMVP_VLM_Images"])
@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png"])
def test_every_published_folder_name_and_the_usual_formats_are_read(
    tmp_path: Path, images: str, suffix: str
) -> None:
    pairs = read_mmvp(write_mmvp_folder(tmp_path, 1, types=TYPES[:2], images=images, suffix=suffix)).pairs
    assert [image.path.name for pair in pairs for image in pair.images] == [f"{i}{suffix}" for i in (1, 2, 3, 4)]


def test_underscores_in_a_type_and_any_spelling_of_the_header_are_accepted(tmp_path: Path) -> None:
    write_mmvp_folder(tmp_path, 1, types=["Camera_Perspective"])
    rows = [(1, "camera perspective", " from above "), (2, "Camera Perspective", "from below")]
    write_questions(tmp_path, rows, header=["question_id", " TYPE", "statement"], encoding="utf-8-sig")
    (pair,) = read_mmvp(tmp_path).pairs
    assert (pair.category, pair.statements) == ("Viewpoint and Perspective", ("from above", "from below"))


def test_other_types_and_uneven_numbers_of_pairs_are_read(tmp_path: Path) -> None:
    pairs = read_mmvp(write_mmvp_folder(tmp_path, [3, 1], types=["Weather", "Text"])).pairs
    assert [pair.category for pair in pairs] == ["Weather"] * 3 + ["Texts"]


def test_every_published_type_has_its_title() -> None:
    assert tuple(map(category_of, TYPES)) == OFFICIAL == tuple(TITLES.values())


def test_the_fingerprint_is_that_of_the_content_and_not_of_the_place(folder: Path, mmvp_folder: Path) -> None:
    original = read_mmvp(mmvp_folder).fingerprint
    (folder / "MLLM_VLM Images").rename(folder / "MLLM_VLM_Images")
    assert read_mmvp(folder).fingerprint == original
    image = folder / "MLLM_VLM_Images" / "Text" / "29.jpg"
    image.write_bytes(image.read_bytes() + b"\0")
    assert read_mmvp(folder).fingerprint != original


def test_a_changed_statement_changes_the_fingerprint(folder: Path, mmvp_folder: Path) -> None:
    questions = folder / "Questions.csv"
    questions.write_text(questions.read_text().replace("a palace", "a castle"))
    assert read_mmvp(folder).fingerprint != read_mmvp(mmvp_folder).fingerprint


def refused(folder: Path, refused: pytest.RaisesExc[Exception]) -> None:
    with refused as caught:
        read_mmvp(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_questions_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, pytest.raises(Damaged, match=r"Questions\.csv:"))


def test_a_csv_without_a_column_is_refused_with_the_official_header(folder: Path) -> None:
    write_questions(folder, [(1, "a door"), (2, "no door")], header=["Question ID", "Statement"])
    refused(folder, pytest.raises(Missing, match=r"Type.*Question ID,Type,Statement"))


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_csv_is_refused(folder: Path, content: str) -> None:
    (folder / "Questions.csv").write_text(content)
    refused(folder, pytest.raises(Missing, match=r"Question ID.*Type.*Statement"))


def test_a_csv_that_is_no_text_is_refused(folder: Path) -> None:
    (folder / "Questions.csv").write_bytes(b"Question ID,Type,Statement\n1,Text,caf\xe9\n")
    refused(folder, pytest.raises(Damaged, match="utf-8"))


def test_an_odd_number_of_rows_is_refused(folder: Path) -> None:
    write_questions(folder, [(1, "Text", "a"), (2, "Text", "b"), (3, "Text", "c")])
    refused(folder, pytest.raises(Damaged, match="3"))


def test_a_header_without_rows_is_refused(folder: Path) -> None:
    write_questions(folder, [])
    refused(folder, pytest.raises(Damaged, match="0"))


@pytest.mark.parametrize(
    "row",
    [
        ("one", "Text", "a"),
        (1, "", "a"),
        (1, "Text", " "),
        (1, "Text"),
        (-1, "Text", "a"),
        ("9" * 5000, "Text", "a"),
    ],
)
def test_a_row_with_an_unusable_cell_is_refused_by_its_line(folder: Path, row: tuple[object, ...]) -> None:
    write_questions(folder, [row, (2, "Text", "b")])
    refused(folder, pytest.raises(Damaged, match="line 2:"))


@pytest.mark.parametrize(
    "rows",
    [
        [(2, "Text", "b"), (3, "Text", "c")],  # a row is lost, so that every pair is shifted
        [(1, "Text", "a"), (4, "Text", "d")],
        [(1, "Text", "a"), (2, "State", "b")],
    ],
)
def test_rows_that_belong_to_different_pairs_are_refused(folder: Path, rows: list[tuple[object, ...]]) -> None:
    write_questions(folder, rows)
    refused(folder, pytest.raises(Damaged, match=r"Questions\.csv:"))


def test_a_device_in_place_of_the_questions_or_an_image_is_refused_without_reading_it(folder: Path) -> None:
    image = folder / "MLLM_VLM Images" / "Text" / "30.jpg"
    for path, sentence in (
        (image, pytest.raises(Damaged, match="Text/30:")),
        (folder / "Questions.csv", pytest.raises(Invalid, match=r"Questions\.csv:")),
    ):
        path.unlink()
        path.symlink_to("/dev/zero")
        refused(folder, sentence)


def test_a_statement_may_hold_a_line_separator_of_unicode(folder: Path) -> None:
    path = folder / "Questions.csv"
    text = path.read_text(encoding="utf-8")
    statement = read_mmvp(folder).pairs[0].statements[0]
    path.write_text(text.replace(statement, f"{statement}\u2028seen"), encoding="utf-8")
    assert read_mmvp(folder).pairs[0].statements[0] == f"{statement}\u2028seen"


def test_a_type_without_a_folder_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "MLLM_VLM Images" / "Color")
    refused(folder, pytest.raises(Missing, match="'Color'"))


def test_a_folder_without_images_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "MLLM_VLM Images")
    refused(folder, pytest.raises(Missing, match=r"MLLM_VLM_Images.*MLLM_VLM Images.*MMVP_VLM_Images"))


def test_a_missing_image_is_named(folder: Path) -> None:
    (folder / "MLLM_VLM Images" / "Text" / "30.jpg").unlink()
    refused(folder, pytest.raises(Damaged, match=r"Text/30: .*.jpg.*.jpeg.*.png"))


@pytest.mark.parametrize("damage", ["truncated", "text"])
def test_an_undecodable_image_is_named(folder: Path, damage: str) -> None:
    path = folder / "MLLM_VLM Images" / "Text" / "30.jpg"
    path.write_bytes(path.read_bytes()[:900] if damage == "truncated" else b"not an image")
    with pytest.raises(Damaged, match=f"^{re.escape(str(path))}:"):
        StoredImage(path).decode()


def test_a_palette_image_is_read_as_colour(tmp_path: Path) -> None:
    path = tmp_path / "1.png"
    Image.new("P", (4, 4)).save(path)
    assert StoredImage(path).decode().mode == "RGB"
