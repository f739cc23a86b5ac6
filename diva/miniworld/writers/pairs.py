"""Pairs in the plain layout of `diva bench pairs`: `pairs.jsonl` and the images that it names."""

from collections.abc import Iterator
from pathlib import Path

from diva.miniworld.pairs import draw_pairs
from diva.miniworld.scene import generator
from diva.miniworld.vocabulary import ATTRIBUTES
from diva.miniworld.writers.jsonl import write_jsonl
from diva.miniworld.writers.pictures import jpegs
from diva.progress import steps

PROMPT = "a photo of "


def write_pairs(folder: Path, *, pairs: int, key: tuple[int, ...]) -> None:
    """Write `pairs` pairs of each of the nine patterns; `key` seeds the draws."""
    rows = steps(_rows(folder, pairs, key), "writing pairs", pairs * len(ATTRIBUTES))
    write_jsonl(folder / "pairs.jsonl", rows)


def _rows(folder: Path, pairs: int, key: tuple[int, ...]) -> Iterator[dict[str, object]]:
    for index, attribute in enumerate(ATTRIBUTES):
        images = Path("images") / attribute.name
        (folder / images).mkdir(parents=True)
        drawn = draw_pairs(index, pairs, generator(*key, index))
        both = zip(drawn.statements, jpegs(drawn.first), jpegs(drawn.second), strict=True)
        for number, (said, *pictures) in enumerate(both):
            names = [(images / f"{number}-{side}.jpg").as_posix() for side in "ab"]
            for name, picture in zip(names, pictures, strict=True):
                (folder / name).write_bytes(picture)
            yield {
                "id": f"{attribute.name}-{number}",
                "category": attribute.pattern,
                "images": names,
                "statements": [PROMPT + text for text in said],
            }
