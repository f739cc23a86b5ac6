"""From a recipe to a cache of its latents and of its tower's input."""

from pathlib import Path
from typing import Any, cast

import torch
from accelerate import PartialState
from rich.console import Console

from diva.data import fingerprint, open_source
from diva.data.latents import CacheIndex, Wanted, write_latents
from diva.data.latents.source import PIXELS
from diva.data.latents.write import shard_names
from diva.denoisers import load_denoiser
from diva.errors import InputError, did_you_mean
from diva.recipes import Recipe
from diva.training.build import load_tower


def cache_latents(
    recipe: Recipe,
    folder: Path,
    *,
    crops: int = 1,
    pixels: str = "uint8",
    batch: int = 16,
    console: Console,
) -> None:
    """Write the cache of a recipe's images into `folder`, or go on with it; a line for each shard on `console`.

    Processes and devices are those of `accelerate launch` or `torchrun`; processes share the shards.

    Args:
        recipe: its teacher, tower, images and crops are those of the cache; the seed is that of the crops.
        folder: a new one, or one that holds a part of the same cache.
        crops: of each image.
        pixels: how the tower's input is stored, "uint8" or "jpeg".
        batch: images encoded at once.

    Raises:
        InputError: the recipe names something that is missing, `folder` holds another cache, or the latents differ
            at every look.
        RunError: too many images are unusable, latents are not finite, or the place cannot be written to.
    """
    if crops < 1 or batch < 1:
        raise InputError("--crops and --batch: give 1 or more")
    if pixels not in PIXELS:
        raise InputError(f"--pixels: '{pixels}' is none; {did_you_mean(pixels, PIXELS)}")
    state, source = PartialState(), open_source(recipe.data.source)
    dtype = getattr(torch, recipe.training.frozen_dtype)
    denoiser = load_denoiser(recipe.denoiser, dtype=dtype, device=state.device)
    tower = load_tower(recipe).input.replace(**recipe.tower.input.model_dump(exclude_none=True))
    index = CacheIndex(
        made=Wanted.by(denoiser, tower, recipe.data.image_size, recipe.data.crop_scale),
        crop_seed=recipe.seed,
        crops=crops,
        pixels=cast("Any", pixels),
        source=source.spec,
        fingerprint=fingerprint(source),
        shards=tuple(shard_names(source)),
    )
    own = len(range(state.process_index, len(index.shards), state.num_processes))
    for number, shard in enumerate(
        write_latents(
            folder,
            index,
            source,
            denoiser,
            tower,
            device=state.device,
            batch=batch,
            workers=recipe.data.workers,
            min_side=recipe.data.min_side,
            max_bad_share=recipe.data.max_bad_share,
            rank=state.process_index,
            world_size=state.num_processes,
        ),
        1,
    ):
        done = "was there" if shard.images is None else f"{shard.images} images, {shard.skipped} skipped"
        console.print(f"{shard.name} ({number} of {own}): {done}", markup=False, highlight=False)
