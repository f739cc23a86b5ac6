from pathlib import Path

import numpy as np
import torch
from PIL import Image

from diva.miniworld.render import SIZE, render
from diva.miniworld.scene import Scenes, draw, generator
from diva.miniworld.vocabulary import CLASSES
from diva.miniworld.writers import write_ade20k, write_pascal_context


def _scenes() -> tuple[Scenes, Scenes]:
    return draw(5, generator(1)), draw(3, generator(2))


def _check(image: Path, mask: Path, scenes: Scenes, index: int) -> None:
    rgb, labels = render(scenes.take(slice(index, index + 1)))
    with Image.open(mask) as file:
        assert file.mode == "L"
        written = torch.from_numpy(np.array(file)).long()
    # both layouts keep 0 for what is unlabelled and are read with reduce_zero_label
    assert torch.equal(written - 1, labels[0])
    with Image.open(image) as file:
        assert file.size == (SIZE, SIZE)
        shown = torch.from_numpy(np.array(file)).permute(2, 0, 1) / 255
    assert (shown - rgb[0]).abs().mean() < 0.01


def test_ade20k_has_a_mask_of_the_same_name_for_every_image(tmp_path: Path) -> None:
    splits = _scenes()
    write_ade20k(*splits, tmp_path)
    root = tmp_path / "ADEChallengeData2016"
    for split, scenes in zip(("training", "validation"), splits, strict=True):
        images, masks = (sorted((root / kind / split).iterdir()) for kind in ("images", "annotations"))
        assert [path.stem for path in images] == [path.stem for path in masks]
        assert len(images) == scenes.number
        for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
            _check(image, mask, scenes, index)
    listed = (root / "objectInfo150.txt").read_text().splitlines()[1:]
    assert [line.split("\t")[1] for line in listed] == list(CLASSES)


def test_pascal_context_lists_every_image_in_one_split(tmp_path: Path) -> None:
    splits = _scenes()
    write_pascal_context(*splits, tmp_path)
    root = tmp_path / "VOCdevkit" / "VOC2010"
    for split, scenes in zip(("train", "val"), splits, strict=True):
        names = (root / "ImageSets" / "SegmentationContext" / f"{split}.txt").read_text().split()
        assert len(names) == scenes.number
        for index, name in enumerate(names):
            _check(
                root / "JPEGImages" / f"{name}.jpg",
                root / "SegmentationClassContext" / f"{name}.png",
                scenes,
                index,
            )
    assert len(list((root / "JPEGImages").iterdir())) == 8
