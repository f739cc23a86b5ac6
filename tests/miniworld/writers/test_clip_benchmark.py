from io import BytesIO
from pathlib import Path

import webdataset as wds
from PIL import Image

from diva.miniworld.captions import full_captions
from diva.miniworld.render import SIZE
from diva.miniworld.scene import draw, generator
from diva.miniworld.writers import write_retrieval, write_zero_shot


def _samples(folder: Path) -> list[dict[str, bytes]]:
    shards = int((folder / "test" / "nshards.txt").read_text())
    return list(
        wds.WebDataset([str(folder / "test" / f"{number}.tar") for number in range(shards)], shardshuffle=False)
    )


def test_the_class_file_and_the_labels_name_shape_and_place(tmp_path: Path) -> None:
    scenes = draw(40, generator(1))
    write_zero_shot(scenes, tmp_path)
    names = (tmp_path / "classnames.txt").read_text().splitlines()
    assert len(names) == len(set(names)) == 32
    captions = full_captions(scenes)
    for sample, caption in zip(_samples(tmp_path), captions, strict=True):
        shape, _, place = names[int(sample["cls"])].partition(" in a ")
        assert f" {shape} " in caption
        assert f" in a {place} " in caption
        assert Image.open(BytesIO(sample["jpg"])).size == (SIZE, SIZE)
    templates = (tmp_path / "zeroshot_classification_templates.txt").read_text().splitlines()
    assert all(template.format(c="x") != template for template in templates)


def test_each_line_of_a_retrieval_sample_is_one_caption(tmp_path: Path) -> None:
    scenes = draw(3, generator(1))
    captions = [["one", "two"], ["three"], ["four", "five"]]
    write_retrieval(scenes, captions, tmp_path)
    assert (tmp_path / "dataset_type.txt").read_text() == "retrieval\n"
    assert [sample["txt"].decode().splitlines() for sample in _samples(tmp_path)] == captions
