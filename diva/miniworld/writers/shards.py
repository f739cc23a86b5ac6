"""Training images as img2dataset's webdataset shards: `00000.tar` with `.jpg`, `.txt` and `.json`."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from diva.miniworld.render import SIZE
from diva.miniworld.scene import Scenes
from diva.miniworld.writers.pictures import jpegs
from diva.miniworld.writers.tar import write_tar


def write_shards(scenes: Scenes, captions: Sequence[str], folder: Path, *, per_shard: int) -> None:
    """Write `folder/00000.tar`, … and img2dataset's `00000_stats.json` beside each, `per_shard` images in each."""
    for number, start in enumerate(range(0, scenes.number, per_shard)):
        part = slice(start, start + per_shard)
        chosen = scenes.take(part)
        write_tar(folder / f"{number:05d}.tar", _samples(chosen, captions[part], number))
        statistics = {"count": chosen.number, "successes": chosen.number, "failed_to_download": 0}
        (folder / f"{number:05d}_stats.json").write_text(json.dumps(statistics, indent=4))


def _samples(scenes: Scenes, captions: Sequence[str], shard: int) -> Iterator[dict[str, str | bytes]]:
    for index, (image, caption) in enumerate(zip(jpegs(scenes), captions, strict=True)):
        key = f"{shard:05d}{index:04d}"
        record = {
            "caption": caption,
            "key": key,
            "status": "success",
            "error_message": None,
            "width": SIZE,
            "height": SIZE,
            "original_width": SIZE,
            "original_height": SIZE,
            "sha256": hashlib.sha256(image).hexdigest(),
        }
        yield {"__key__": key, "jpg": image, "txt": caption, "json": json.dumps(record)}
