"""Computing a cache: every image is cropped, looked at by frozen networks and resized for the tower, once.

A cache has one shard for each of the source's tars (or for a number of images where the source has none), so a run
on it meets the images in the order of a run without it. A shard that is there is complete; a killed run goes on
with the first that is not. Several processes share the shards by their number.
"""

import io
import json
import logging
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from webdataset import TarWriter

from diva.atomic import replacing
from diva.data.cache.index import CacheIndex
from diva.data.cache.source import DIGEST, PIXELS, digest, is_whole, member_of
from diva.data.decode import decode, random_crop, seeded_crop, to_rgb, to_unit_range
from diva.data.raw import Loss, RawImage
from diva.data.shards import ShardSource, statistics_of
from diva.data.source import Source
from diva.errors import BadData, Failed, printable
from diva.images import UnusableError
from diva.lock import locked
from diva.progress import phase
from diva.towers.preprocess import TowerInput

logger = logging.getLogger("diva.data")

IMAGES_PER_SHARD = 1000  # where the source has no shards of its own
JPEG_QUALITY = 95
Look = Callable[[Tensor, Sequence[str]], Tensor]


class Written(NamedTuple):
    """A shard of the cache that is complete; of one that was there before, `images` is None."""

    name: str
    images: int | None
    skipped: int


@dataclass(frozen=True)
class _Crops(Dataset[tuple[str, Tensor | None]]):
    """The crops [K, 3, S, S] uint8 of each image under its key, or None where it is unusable."""

    raws: Sequence[RawImage]
    index: CacheIndex[Any]
    min_side: int

    def __len__(self) -> int:
        return len(self.raws)

    def __getitem__(self, number: int) -> tuple[str, Tensor | None]:
        raw, made = self.raws[number], self.index.made
        try:
            rgb = to_rgb(decode(raw, self.min_side))
        except UnusableError as error:
            logger.warning("skipped %s: %s", printable(raw.key), printable(str(error)))
            return raw.key, None
        crop = random_crop(made.image_size, made.crop_scale)
        seeds = [
            random.Random(f"{self.index.crop_seed} {raw.key} {place}").getrandbits(64)
            for place in range(self.index.crops)
        ]
        return raw.key, torch.stack([seeded_crop(crop, rgb, seed) for seed in seeds])


def shard_names(source: Source) -> list[str]:
    """Return the names of the shards that a cache of `source` has."""
    return [name for name, _ in _shards(source)]


def write_cache(
    folder: Path,
    index: CacheIndex[Any],
    source: Source,
    look: Look,
    tower: TowerInput,
    *,
    device: torch.device,
    batch: int,
    workers: int = 0,
    min_side: int = 32,
    max_bad_share: float = 0.01,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[Written]:
    """Write the shards of a cache into `folder` that are not there yet, and yield each as it is complete.

    Args:
        index: what the cache is; `folder` must hold no other.
        source: the images.
        look: given crops [N, 3, S, S] in 0..1 on `device` and their images' keys, returns what is stored of each,
            [N, ...]; a crop's must depend neither on the others nor on any state.
        tower: brings the crops to the tower's size; its normalisation is left to the run.
        device: where `look` computes.
        batch: images looked at once.
        workers: processes that decode; 0 decodes in this one.
        min_side: images with a shorter side of fewer pixels are skipped.
        max_bad_share: a larger share of skipped images in a shard stops the work.
        rank, world_size: this process writes every `world_size`-th shard from number `rank` on.

    Raises:
        InputError: `folder` holds another cache, or another command writes there.
        RunError: too many images are unusable, what is made of one is not finite, or the place cannot be written
            to.
    """
    with locked(folder) if rank == 0 else nullcontext():
        index.write(folder)
        for name, raws in islice(_shards(source), rank, None, world_size):
            if is_whole(folder / name):
                yield Written(name, None, 0)
                continue
            crops = _Crops(list(raws), index, min_side)
            images = 0
            with replacing(folder / name) as temporary, phase(f"{name}, images", len(crops)) as progress:
                with temporary.open("wb") as file, TarWriter(file, mtime=0) as tar:
                    for found in DataLoader(crops, batch_size=batch, num_workers=workers, collate_fn=list):
                        usable = [(key, pixels) for key, pixels in found if pixels is not None]
                        if usable:
                            for sample in _made(usable, index, look, tower, device):
                                tar.write({"__key__": f"{images:09d}", **sample})
                                images += 1
                        progress.advance(len(found))
                skipped = sum(raw.images if isinstance(raw, Loss) else 1 for raw in crops.raws) - images
                if skipped > max_bad_share * (images + skipped):
                    raise BadData(
                        "data",
                        f"{skipped} of the {images + skipped} images of {source.spec} for {name} are"
                        f" unusable, more than data.max_bad_share = {max_bad_share:.1%}; repair the source or raise"
                        " the limit",
                    )
                # img2dataset's count, which spares a later run the walk; before the shard, which says it is done
                with replacing(statistics_of(folder / name)) as statistics:
                    size = temporary.stat().st_size
                    statistics.write_text(json.dumps({"successes": images, "skipped": skipped, "bytes": size}))
            yield Written(name, images, skipped)


@torch.no_grad()
def _made(
    usable: Sequence[tuple[str, Tensor]],
    index: CacheIndex[Any],
    look: Look,
    tower: TowerInput,
    device: torch.device,
) -> Iterator[dict[str, bytes]]:
    """Yield the members of each image, by their extension."""
    rgb = to_unit_range(torch.cat([pixels for _, pixels in usable]).to(device))
    made = look(rgb, [key for key, _ in usable for _ in range(index.crops)]).cpu()
    small = tower.resize(rgb).mul(255).round().to(torch.uint8).cpu()
    for number, (key, _) in enumerate(usable):
        sample = {"key.txt": key.encode(errors="surrogateescape")}
        for crop in range(index.crops):
            place = number * index.crops + crop
            if not made[place].isfinite().all():
                raise Failed(
                    "data", f"the {index.kind.content} of {key} are not finite; check this image and the teacher"
                )
            stored = _npy(made[place])
            pixels = _jpeg(small[place]) if index.pixels == "jpeg" else _npy(small[place])
            sample[f"{crop}.{member_of(index.kind)}"], sample[f"{crop}.{PIXELS[index.pixels]}"] = stored, pixels
            sample[f"{crop}.{DIGEST}"] = digest(stored, pixels)
        yield sample


def _shards(source: Source) -> Iterator[tuple[str, Iterable[RawImage]]]:
    """Yield name and images of each shard of the cache."""
    units = source.units(0, 1)
    if isinstance(source, ShardSource):
        yield from zip(source.names, units, strict=True)
        return
    for number in range(0, len(units), IMAGES_PER_SHARD):
        yield (
            f"{number // IMAGES_PER_SHARD:05d}.tar",
            chain.from_iterable(units[number : number + IMAGES_PER_SHARD]),
        )


def _npy(tensor: Tensor) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, tensor.numpy(), allow_pickle=False)
    return buffer.getvalue()


def _jpeg(pixels: Tensor) -> bytes:
    buffer = io.BytesIO()
    # full colour resolution: halving it would blur what the tower sees
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()
