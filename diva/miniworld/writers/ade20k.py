"""Segmentation in ADE20K's layout: `ADEChallengeData2016/{images,annotations}/{training,validation}`."""

from pathlib import Path

from diva.miniworld.scene import Scenes
from diva.miniworld.vocabulary import CLASSES
from diva.miniworld.writers.pictures import write_segmented


def write_ade20k(training: Scenes, validation: Scenes, folder: Path) -> None:
    """Write both splits and `objectInfo150.txt`, which names the world's classes; masks count them from 1."""
    root = folder / "ADEChallengeData2016"
    for split, short, scenes in (("training", "train", training), ("validation", "val", validation)):
        names = [f"ADE_{short}_{index:08d}" for index in range(1, scenes.number + 1)]
        write_segmented(scenes, root / "images" / split, root / "annotations" / split, names)
    rows = [f"{index}\t{name}" for index, name in enumerate(CLASSES, 1)]
    (root / "objectInfo150.txt").write_text("\n".join(["Idx\tName", *rows, ""]))
