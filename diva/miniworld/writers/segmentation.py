"""Segmentation in ADE20K's and in Pascal Context's layout."""

from pathlib import Path

import torch

from diva.miniworld.scene import Scenes
from diva.miniworld.vocabulary import CLASSES
from diva.miniworld.writers.pictures import write_segmented


def write_ade20k(training: Scenes, validation: Scenes, folder: Path) -> None:
    """Write ADE20K's layout: both splits and `objectInfo150.txt`, which names the classes; masks count from 1."""
    root = folder / "ADEChallengeData2016"
    for split, short, scenes in (("training", "train", training), ("validation", "val", validation)):
        names = [f"ADE_{short}_{index:08d}" for index in range(1, scenes.number + 1)]
        write_segmented(scenes, root / "images" / split, root / "annotations" / split, names)
    rows = [f"{index}\t{name}" for index, name in enumerate(CLASSES, 1)]
    (root / "objectInfo150.txt").write_text("\n".join(["Idx\tName", *rows, ""]))


def write_pascal_context(training: Scenes, validation: Scenes, folder: Path) -> None:
    """Write Pascal Context's layout: both splits and `labels.txt`, which names the classes; masks count from 1."""
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
