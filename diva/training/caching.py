"""From a recipe to a cache of its latents and of its tower's input; and what all commands that fill a cache do."""

from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from rich.console import Console

from diva.data import Source, fingerprint, open_source
from diva.data.cache import CacheIndex, LatentIndex, Wanted, look_of, write_cache
from diva.data.cache.source import PIXELS
from diva.data.cache.write import Look, shard_names
from diva.denoisers import load_denoiser
from diva.errors import Invalid, Unknown, did_you_mean
from diva.progress import phase
from diva.recipes import Recipe
from diva.towers import TowerInput
from diva.training.build import join_processes, load_tower


def cache_latents(
    recipe: Recipe,
    folder: Path,
    *,
    crops: int = 1,
    pixels: str = "uint8",
    batch: int = 16,
    console: Console,
) -> None:
    """Write the cache of a recipe's images into `folder`, or go on with it; lines of progress on `console`.

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
    state, source = join_processes(), open_source(recipe.data.source)
    dtype = getattr(torch, recipe.training.frozen_dtype)
    denoiser = load_denoiser(recipe.denoiser, dtype=dtype, device=state.device)
    tower = load_tower(recipe).input.replace(**recipe.tower.input.model_dump(exclude_none=True))
    made = Wanted.by(denoiser, tower, recipe.data.image_size, recipe.data.crop_scale)
    index = LatentIndex(made=made, **common(recipe, source, crops=crops, pixels=pixels, batch=batch))
    look = look_of(denoiser)
    fill(folder, index, source, look=look, tower=tower, recipe=recipe, state=state, batch=batch, console=console)


def common(recipe: Recipe, source: Source, *, crops: int, pixels: str, batch: int) -> dict[str, Any]:
    """Return the fields that the index of every cache of a recipe has, besides what it was made with.

    Raises:
        InputError: an option is none that there is.
    """
    if crops < 1 or batch < 1:
        raise Invalid("--crops, --batch", "give 1 or more")
    if pixels not in PIXELS:
        raise Unknown("--pixels", f"'{pixels}' is none; {did_you_mean(pixels, PIXELS)}")
    return {
        "crop_seed": recipe.seed,
        "crops": crops,
        "pixels": pixels,
        "source": source.spec,
        "fingerprint": fingerprint(source),
        "shards": tuple(shard_names(source)),
    }


def fill(
    folder: Path,
    index: CacheIndex[Any],
    source: Source,
    *,
    look: Look,
    tower: TowerInput,
    recipe: Recipe,
    state: PartialState,
    batch: int,
    console: Console,
) -> None:
    """Write this process's shards of a cache, with a line for each on `console`.

    Raises:
        InputError, RunError: as `write_cache` does.
    """
    own = len(range(state.process_index, len(index.shards), state.num_processes))
    with phase(f"{index.kind.content}, shards", own) as shards:
        for shard in write_cache(
            folder,
            index,
            source,
            look,
            tower,
            device=state.device,
            batch=batch,
            workers=recipe.data.workers,
            min_side=recipe.data.min_side,
            max_bad_share=recipe.data.max_bad_share,
            rank=state.process_index,
            world_size=state.num_processes,
        ):
            shards.advance()
            what = "was there" if shard.images is None else f"{shard.images} images, {shard.skipped} skipped"
            line = f"{shard.name} ({shards.done} of {own}): {what}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
