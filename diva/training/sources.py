"""Where a run's images come from: the images themselves, or a cache of what becomes of them."""

from pathlib import Path

from diva.data import Source, open_source
from diva.data.latents import Wanted, open_latents
from diva.denoisers import Denoiser
from diva.errors import InputError
from diva.objectives import Objective
from diva.recipes import Recipe
from diva.towers import TowerInput


def source_of(recipe: Recipe, denoiser: Denoiser, objective: Objective, tower_input: TowerInput) -> Source:
    """Open the images of a run, or the cache that its recipe names in their place.

    Raises:
        InputError: there is nothing, or a cache is stale or cannot hold what the run needs.
    """
    if recipe.data.latents is None:
        return open_source(recipe.data.source)
    if recipe.denoiser.latents == "sample":
        raise InputError(
            "data.latents: denoiser.latents 'sample' differs at every look; set it to mean, or data.latents to null"
        )
    if objective.views:
        raise InputError(
            "data.latents: the objective asks for further views of the images; set data.latents to null"
        )
    wanted = Wanted.by(denoiser, tower_input, recipe.data.image_size, recipe.data.crop_scale)
    return open_latents(Path(recipe.data.latents), wanted)
