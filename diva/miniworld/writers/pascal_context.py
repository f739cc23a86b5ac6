"""Segmentation in Pascal Context's layout: `VOCdevkit/VOC2010` with masks in `SegmentationClassContext`."""

from pathlib import Path

import torch

from diva.miniworld.scene import Scenes
from diva.miniworld.vocabulary import CLASSES
from diva.miniworld.writers.pictures import write_segmented


def write_pascal_context(training: Scenes, validation: Scenes, folder: Path) -> None:
    """Write both splits and `labels.txt`, which names the world's classes; masks count them from 1."""
    root = folder / "VOCdevkit" / "VOC2010"
    lists = root / "ImageSets" / "SegmentationContext"
    lists.mkdir(parents=True)
    total = training.number + validation.number
    names = [f"2010_{index:06d}" for index in range(1, total + 1)]
    for split, chosen in (("train", names[: training.number]), ("val", names[training.number :])):
        (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in chosen))
    everything = Scenes(*(torch.cat(fields) for fields in zip(training, validation, strict=True)))
    write_segmented(everything, root / "JPEGImages", root / "SegmentationClassContext", names)
    (root / "labels.txt").write_text("".join(f"{index}: {name}\n" for index, name in enumerate(CLASSES, 1)))
