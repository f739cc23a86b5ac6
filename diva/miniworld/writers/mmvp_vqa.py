"""Questions on pairs in MMVP's folder: `Questions.csv` and `MMVP Images/<number>.jpg`."""

import csv
from pathlib import Path

import torch

from diva.miniworld.pairs import draw_pairs
from diva.miniworld.scene import generator
from diva.miniworld.vocabulary import ATTRIBUTES, SHAPES
from diva.miniworld.writers.pictures import jpegs


def write_mmvp_vqa(folder: Path, *, pairs: int, key: tuple[int, ...]) -> None:
    """Write `pairs` pairs of each pattern; both pictures of a pair get the same question and the same two options.

    `key` seeds the draws of the scenes and of the options' order.
    """
    images = folder / "MMVP Images"
    images.mkdir()
    number = 1
    with (folder / "Questions.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["Index", "Question", "Options", "Correct Answer"])
        for index, attribute in enumerate(ATTRIBUTES):
            random = generator(*key, index)
            drawn = draw_pairs(index, pairs, random)
            swapped = torch.randint(2, (pairs,), generator=random).tolist()
            pictures = zip(jpegs(drawn.first), jpegs(drawn.second), strict=True)
            for pair, both in enumerate(pictures):
                answers = [
                    attribute.answers[int(scenes.details[pair, index])] for scenes in (drawn.first, drawn.second)
                ]
                question = attribute.question.format(shape=SHAPES[int(drawn.first.shape[pair])])
                options = answers[::-1] if swapped[pair] else answers
                for answer, picture in zip(answers, both, strict=True):
                    letter = "ab"[options.index(answer)]
                    table.writerow([number, question, f"(a) {options[0]} (b) {options[1]}", f"({letter})"])
                    (images / f"{number}.jpg").write_bytes(picture)
                    number += 1
