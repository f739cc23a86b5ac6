"""clip-benchmark's webdatasets: zero-shot classification of shape and place, and image-text retrieval."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from diva.miniworld.scene import Scenes
from diva.miniworld.vocabulary import PLACES, SHAPES
from diva.miniworld.writers.pictures import jpegs
from diva.miniworld.writers.tar import write_tar

TEMPLATES = ("a photo of a {c}", "a {c}")


def write_zero_shot(scenes: Scenes, folder: Path, *, split: str = "test") -> None:
    """Write one classification set, 32 classes named "<shape> in a <place>"."""
    names = [f"{shape} in a {place}" for shape in SHAPES for place in PLACES]
    labels = (scenes.shape * len(PLACES) + scenes.place).tolist()
    _write_lines(folder / "classnames.txt", names)
    _write_lines(folder / "zeroshot_classification_templates.txt", TEMPLATES)
    _write_split(folder / split, scenes, "cls", [str(label) for label in labels])


def write_retrieval(
    scenes: Scenes, captions: Sequence[Sequence[str]], folder: Path, *, split: str = "test"
) -> None:
    """Write one retrieval set; each scene has one or more captions, one a line."""
    _write_lines(folder / "dataset_type.txt", ["retrieval"])
    _write_split(folder / split, scenes, "txt", ["\n".join(lines) for lines in captions])


def _write_split(folder: Path, scenes: Scenes, extension: str, values: Sequence[str]) -> None:
    folder.mkdir()
    _write_lines(folder / "nshards.txt", ["1"])
    samples: Iterator[dict[str, str | bytes]] = (
        {"__key__": f"s{index:07d}", "jpg": image, extension: value}
        for index, (image, value) in enumerate(zip(jpegs(scenes), values, strict=True))
    )
    write_tar(folder / "0.tar", samples)


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))
