import csv
from pathlib import Path

from PIL import Image

from diva.miniworld.pairs import draw_pairs
from diva.miniworld.render import SIZE
from diva.miniworld.scene import generator
from diva.miniworld.vocabulary import ATTRIBUTES
from diva.miniworld.writers import write_mmvp_vlm


def _rows(folder: Path) -> list[list[str]]:
    with (folder / "Questions.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_the_official_script_s_walk_finds_every_image_and_statement(tmp_path: Path) -> None:
    write_mmvp_vlm(tmp_path, pairs=15, key=(7,))
    head, *rows = _rows(tmp_path)
    assert head == ["Question ID", "Type", "Statement"]
    assert len(rows) == 270
    # as MMVP's evaluate_vlm.py walks: two rows at a time, images from the first row's folder, category by position
    for position in range(0, 270, 2):
        (one, kind, said), (two, _, other) = rows[position : position + 2]
        attribute = ATTRIBUTES[position // 2 // 15]
        assert kind == attribute.pattern
        assert int(one) % 2 == 1
        assert int(two) == int(one) + 1
        for number, text in ((one, said), (two, other)):
            with Image.open(tmp_path / "MLLM_VLM_Images" / kind / f"{number}.jpg") as image:
                assert image.size == (SIZE, SIZE)
            assert sum(phrase in text for phrase in attribute.phrases) == 1
        assert said != other


def test_statements_stand_in_the_order_of_the_pairs(tmp_path: Path) -> None:
    write_mmvp_vlm(tmp_path, pairs=4, key=(7,))
    written = [row[2] for row in _rows(tmp_path)[1:9]]
    drawn = draw_pairs(0, 4, generator(7, 0)).statements
    assert written == [text for pair in drawn for text in pair]


def test_the_suite_s_own_reader_accepts_the_folder(world: Path) -> None:
    from diva_benchmarks.mmvp_folder import read_mmvp

    pairs = read_mmvp(world / "mmvp_vlm").pairs
    assert len(pairs) == 3 * len(ATTRIBUTES)
    assert len({pair.category for pair in pairs}) == len(ATTRIBUTES)
