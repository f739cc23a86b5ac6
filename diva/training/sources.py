"""Where a run's images come from: the images themselves, or a cache of what becomes of them."""

from pathlib import Path

from diva.data import Source, open_source
from diva.data.cache import Judged, Wanted, open_latents, open_verdicts
from diva.denoisers import Denoiser
from diva.errors import Mismatch, Missing
from diva.objectives import Objective
from diva.recipes import Recipe
from diva.recipes.denoisers import DdpmSection
from diva.recipes.objectives import Verdicts
from diva.towers import Clip, TowerInput
from diva.verdicts.statements import load_statements


def source_of(
    recipe: Recipe, clip: Clip, denoiser: Denoiser, objective: Objective, tower_input: TowerInput
) -> Source:
    """Open the images of a run, or the cache that its recipe names in their place.

    Raises:
        InputError: there is nothing, or a cache is stale or cannot hold what the run needs.
    """
    data = recipe.data
    if isinstance(recipe.objective, Verdicts):
        if data.verdicts is None:
            raise Missing("data.verdicts", "the objective reads a judge's verdicts; run 'diva data judge' first")
        return open_verdicts(Path(data.verdicts), judged(recipe, recipe.objective, clip, tower_input))
    if data.latents is None:
        return open_source(data.source)
    if recipe.denoiser.latents == "sample":
        raise Mismatch(
            "data.latents",
            "denoiser.latents 'sample' differs at every look; set it to mean, or data.latents to null",
        )
    if objective.views:
        raise Mismatch(
            "data.latents", "the objective asks for further views of the images; set data.latents to null"
        )
    return open_latents(Path(data.latents), Wanted.by(denoiser, tower_input, data.image_size, data.crop_scale))


def judged(recipe: Recipe, objective: Verdicts, clip: Clip, tower_input: TowerInput) -> Judged:
    """Return what the verdicts of a recipe depend on.

    Raises:
        InputError: its denoiser is no judge, or the list of statements cannot be read.
    """
    if not isinstance(recipe.denoiser, DdpmSection):
        raise Mismatch(
            "denoiser.type", f"{recipe.denoiser.type} reads no text; name a Stable Diffusion as the judge"
        )
    return Judged.of(
        tower_input,
        recipe.data.image_size,
        recipe.data.crop_scale,
        statements_sha256=load_statements(objective.statements).sha256,
        tower_sha256=clip.sha256,
        samples=objective.samples,
        timesteps=recipe.denoiser.timesteps,
    )
