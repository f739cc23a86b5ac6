"""Pairs in MMVP-VLM's folder: `Questions.csv` and `MLLM_VLM_Images/<type>/<id>.jpg`."""

import csv
from pathlib import Path

from diva.miniworld.pairs import draw_pairs
from diva.miniworld.scene import generator
from diva.miniworld.vocabulary import ATTRIBUTES
from diva.miniworld.writers.pictures import jpegs


def write_mmvp_vlm(folder: Path, *, pairs: int, key: tuple[int, ...]) -> None:
    """Write `pairs` pairs of each of the nine patterns in their official order; `key` seeds the draws."""
    number = 1
    with (folder / "Questions.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["Question ID", "Type", "Statement"])
        for index, attribute in enumerate(ATTRIBUTES):
            images = folder / "MLLM_VLM_Images" / attribute.pattern
            images.mkdir(parents=True)
            drawn = draw_pairs(index, pairs, generator(*key, index))
            for said, *pictures in zip(drawn.statements, jpegs(drawn.first), jpegs(drawn.second), strict=True):
                for text, picture in zip(said, pictures, strict=True):
                    table.writerow([number, attribute.pattern, text])
                    (images / f"{number}.jpg").write_bytes(picture)
                    number += 1
