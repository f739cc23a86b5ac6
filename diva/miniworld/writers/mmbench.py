"""Multiple-choice questions as an MMBench TSV, with pictures in base64 and circular copies of each question."""

import base64
import csv
from pathlib import Path

import torch

from diva.miniworld.captions import exchanges
from diva.miniworld.scene import Scenes, generator
from diva.miniworld.writers.pictures import jpegs

LETTERS = "ABCD"
CIRCULAR = 1_000_000  # rows whose index agrees modulo this are rotations of one question
HEAD = ("index", "question", "hint", *LETTERS, "answer", "category", "image")
COLUMNS = (*HEAD, "source", "l2-category", "comment", "split")


def write_mmbench(scenes: Scenes, path: Path, *, key: tuple[int, ...]) -> None:
    """Write one question a scene, its detail and the order of the options drawn from `key`, in all rotations."""
    random = generator(*key)
    rows = []
    for index, picture in enumerate(jpegs(scenes)):
        asked = exchanges(scenes, index)
        chosen = asked[int(torch.randint(len(asked), (), generator=random))]
        options = [chosen.answer, *chosen.wrong]
        options = [options[place] for place in torch.randperm(len(options), generator=random).tolist()]
        for turn in range(len(options)):
            rotated = options[turn:] + options[:turn]
            rows.append(
                {
                    "index": turn * CIRCULAR + index,
                    "question": chosen.question,
                    **dict(zip(LETTERS, rotated, strict=False)),
                    "answer": LETTERS[rotated.index(chosen.answer)],
                    "category": chosen.attribute,
                    "image": base64.b64encode(picture).decode(),
                    "source": "miniworld",
                    "l2-category": "detail",
                    "split": "dev",
                }
            )
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, restval="", delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(sorted(rows, key=lambda row: row["index"]))
