"""`diva pairs mine`: images that a tower does not tell apart, for a person to say in what they differ."""

import hashlib
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from html import escape
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.text import Text

from diva.atomic import check_folder, new_folder
from diva.data import open_source
from diva.data.raw import RawImage
from diva.data.source import Source
from diva.device import usable_device
from diva.errors import Failed, Invalid
from diva.images import UnusableError, decode_image
from diva.miniworld.writers.jsonl import write_jsonl
from diva.progress import phase
from diva_benchmarks.pairs.blocks import Blocks
from diva_benchmarks.pairs.candidates import Candidate, each_once, find_candidates
from diva_benchmarks.pairs.eye import Eye, open_eye
from diva_benchmarks.pairs.layouts import PAIRS

SHEET, IMAGES = "sheet.html", "images"
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png"}  # which pairs.jsonl may name; other formats are written as PNG
PAGE = """<!doctype html><meta charset="utf-8"><title>Mined pairs</title>
<style>body{{font-family:sans-serif}} img{{height:14rem}} td{{padding:.3rem 1rem}}</style>
<p>{count} pairs that {tower} takes for alike (cosine above {above}) and {other} for different (below {below}). Say
in pairs.jsonl what is true of the first image alone, and what of the second; remove the lines of pairs that differ
in nothing, or in too much.</p>
<table>{rows}</table>
"""
ROW = (
    '<tr><td>{id}<br>alike {alike:.3f}<br>different {different:.3f}</td><td><img src="{first}" alt=""></td>'
    '<td><img src="{second}" alt=""></td></tr>'
)


@dataclass
class _Images:
    """A source's usable images, as they are read.

    Attributes:
        places: of each image in the source's order.
        digests: the first 8 bytes of each image's SHA-256, by which copies are found.
    """

    source: Source
    places: "array[int]" = field(default_factory=lambda: array("q"))
    digests: "array[int]" = field(default_factory=lambda: array("Q"))
    unusable: int = 0

    def batches(self, size: int) -> Iterator[list[Image.Image]]:
        """Yield images in RGB; threads decode, and one batch is in memory."""
        raws = enumerate(self.source.images())
        with ThreadPoolExecutor() as pool:
            while chunk := list(islice(raws, size)):
                decoded = list(pool.map(lambda each: _decode(each[1]), chunk))
                for (place, _), found in zip(chunk, decoded, strict=True):
                    if found is None:
                        self.unusable += 1
                    else:
                        self.places.append(place)
                        self.digests.append(found[1])
                yield [found[0] for found in decoded if found]

    def copies(self) -> NDArray[np.bool_]:
        """Return [N], whether an image has the bytes of an earlier one."""
        copies = np.ones(len(self.digests), dtype=bool)
        copies[np.unique(np.array(self.digests, dtype=np.uint64), return_index=True)[1]] = False
        return copies

    def encoded(self, numbers: Iterable[int]) -> dict[int, bytes]:
        """Return the encoded images of these numbers, which are read again."""
        wanted = {self.places[number]: number for number in numbers}
        found = ((wanted.get(place), raw) for place, raw in enumerate(self.source.images()))
        return {number: raw.load() for number, raw in found if number is not None}


def run(
    images: str,
    *,
    tower: str,
    other: str,
    out: Path,
    above: float,
    below: float,
    pairs: int,
    batch: int,
    device: str,
) -> None:
    """Write pairs of images whose cosine is `above` by `tower` and `below` by `other` into the new folder `out`.

    Args:
        images: whatever `diva train` reads.
        tower: a name that `diva.load_clip` takes; other: such a name, or the folder of a self-supervised model.
        pairs: at most so many, those first that differ most.

    Raises:
        InputError: a name, a number or the images cannot be used.
        RunError: no pair was found.
    """
    check_folder(out)
    if not (-1 <= above <= 1 and -1 <= below <= 1):
        raise Invalid("--above, --below", f"{above} and {below} are not both cosines; give numbers from -1 to 1")
    place = usable_device(device)
    source = open_source(images)
    eyes = [open_eye(name, place, field) for name, field in ((tower, "--tower"), (other, "--other"))]
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".mine-", dir=out.parent) as scratch:
        read = _Images(source)
        seen = _embed(read, eyes, Path(scratch), batch, place)
        candidates = find_candidates(*seen, above=above, below=below, device=place)
        chosen = list(islice(each_once(candidates, seen[1], read.copies()), pairs))
    if not chosen:
        raise Failed(images, f"none of {len(read.places):,} images make a pair; lower --above or raise --below")
    names = {"tower": tower, "other": other, "above": above, "below": below}
    with new_folder(out) as content:
        _write(content, chosen, read, names)
    skipped = f", {read.unusable:,} could not be read" if read.unusable else ""
    looked = f"{len(chosen)} pairs of {len(read.places):,} images{skipped}"
    Console(stderr=True).print(Text(f"{out}: {looked}; look at {SHEET}, complete {PAIRS}"), soft_wrap=True)


@torch.inference_mode()
def _embed(
    images: _Images, eyes: Sequence[Eye], folder: Path, batch: int, device: torch.device
) -> tuple[Blocks, Blocks]:
    """Embed every image with both models in one pass."""
    found = Blocks(folder / "0"), Blocks(folder / "1")
    with phase("embedding") as current:
        for pictures in images.batches(batch):
            for eye, blocks in zip(eyes, found if pictures else (), strict=bool(pictures)):
                blocks.add(eye.embed(torch.stack([eye.see(picture) for picture in pictures]).to(device)))
            current.note = f"{len(images.places):,} images"
    for blocks in found:
        blocks.finish()
    return found


def _write(folder: Path, chosen: Sequence[Candidate], images: _Images, names: dict[str, object]) -> None:
    encoded = images.encoded(number for pair in chosen for number in (pair.first, pair.second))
    (folder / IMAGES).mkdir()
    lines, rows = [], []
    for number, pair in enumerate(chosen, 1):
        files = [
            _put(folder, f"{IMAGES}/{number:04d}-{side}", encoded[place])
            for side, place in (("a", pair.first), ("b", pair.second))
        ]
        cosines = {"alike": round(pair.alike, 4), "different": round(pair.different, 4)}
        lines.append({"id": str(number), "category": "", "images": files, "statements": ["", ""]} | cosines)
        rows.append(ROW.format(id=number, first=files[0], second=files[1], **cosines))
    write_jsonl(folder / PAIRS, lines)
    said = {name: escape(str(value)) for name, value in names.items()}
    (folder / SHEET).write_text(PAGE.format(count=len(chosen), rows="".join(rows), **said), encoding="utf-8")


def _put(folder: Path, name: str, encoded: bytes) -> str:
    """Write an image as it is, or what no set of pairs may hold as PNG, and return its name with the suffix."""
    picture = decode_image(encoded)
    name += SUFFIXES.get(picture.format or "", ".png")
    if picture.format in SUFFIXES:
        (folder / name).write_bytes(encoded)
    else:
        picture.convert("RGB").save(folder / name, "PNG")
    return name


def _decode(raw: RawImage) -> tuple[Image.Image, int] | None:
    try:
        encoded = raw.load()
        picture = decode_image(encoded).convert("RGB")
    except (UnusableError, ValueError):
        return None
    return picture, int.from_bytes(hashlib.sha256(encoded).digest()[:8], "big")
