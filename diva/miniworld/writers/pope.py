"""Yes-or-no questions in POPE's files: `coco_pope_{random,popular,adversarial}.json` and `val2014/`."""

from pathlib import Path

import torch

from diva.miniworld.scene import Scenes, generator
from diva.miniworld.vocabulary import SHAPES
from diva.miniworld.writers.jsonl import write_jsonl
from diva.miniworld.writers.pictures import jpegs


def write_pope(scenes: Scenes, folder: Path, *, key: tuple[int, ...]) -> None:
    """Ask of each scene for the shape that is there and for one that is not.

    That one is drawn at random by `key`, or is the most frequent other shape of all scenes (popular), or of the
    scenes in the same place (adversarial).
    """
    images = folder / "val2014"
    images.mkdir()
    names = [f"COCO_val2014_{index:012d}.jpg" for index in range(1, scenes.number + 1)]
    for name, picture in zip(names, jpegs(scenes), strict=True):
        (images / name).write_bytes(picture)
    together = torch.bincount(scenes.place * len(SHAPES) + scenes.shape, minlength=4 * len(SHAPES)).view(4, -1)
    drawn = torch.rand(scenes.number, len(SHAPES), generator=generator(*key))
    frequency = {
        "random": drawn,
        "popular": together.sum(0).expand(scenes.number, -1).float(),
        "adversarial": together[scenes.place].float(),
    }
    for kind, weights in frequency.items():
        absent = weights.scatter(1, scenes.shape[:, None], -1.0).argmax(1).tolist()
        asked = [
            (name, SHAPES[shape], label)
            for name, there, other in zip(names, scenes.shape.tolist(), absent, strict=True)
            for shape, label in ((there, "yes"), (other, "no"))
        ]
        rows = [
            {"question_id": number, "image": name, "text": f"Is there a {shape} in the image?", "label": label}
            for number, (name, shape, label) in enumerate(asked, 1)
        ]
        write_jsonl(folder / f"coco_pope_{kind}.json", rows)
