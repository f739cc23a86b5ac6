"""The files and folders that a recipe names: one that is not there is reported before torch is imported."""

import os
from collections.abc import Iterator

from diva.braces import missing_files
from diva.errors import InputError, Missing
from diva.recipes.conditions import Projected
from diva.recipes.schema import Recipe


def check_places(recipe: Recipe, *, teacher: bool | None = None, cached: bool = True) -> None:
    """Check that everything is there which a run of `recipe` opens.

    Args:
        teacher: whether the denoiser's folder is opened; as the objective says unless given.
        cached: whether a cache is read in place of the images where the recipe names one.

    Raises:
        InputError: a file or a folder is missing; the sentence begins with its field.
    """
    asks = recipe.objective.asks_denoiser if teacher is None else teacher
    for field, place in _places(recipe, teacher=asks, cached=cached):
        if not os.path.exists(place):  # Path's own raises on a long name
            raise Missing(field, place, "no such file or folder; check the path")
    if not cached or (recipe.data.latents is None and recipe.data.verdicts is None):
        check_images(recipe.data.source)


def check_images(source: str) -> None:
    """Check that files match every part of a source of images.

    Raises:
        InputError: there are none, or the pattern cannot be read.
    """
    try:
        missing = [each for part in source.split("::") for each in missing_files(part)]
    except InputError as error:
        raise error.within("data.source") from error
    if missing:
        more = f" ({len(missing)} are missing)" if len(missing) > 1 else ""
        raise Missing("data.source", f"no file matches {missing[0]}{more}; give an existing folder or tars")


def _places(recipe: Recipe, *, teacher: bool, cached: bool) -> Iterator[tuple[str, str]]:
    if recipe.tower.checkpoint is not None and not recipe.tower.random_weights:
        yield "tower.checkpoint", recipe.tower.checkpoint
    if teacher:
        yield "denoiser.path", recipe.denoiser.path
    if isinstance(recipe.condition, Projected) and recipe.condition.weights is not None:
        yield "condition.weights", recipe.condition.weights
    for field in ("latents", "verdicts") if cached else ():
        if (place := getattr(recipe.data, field)) is not None:
            yield f"data.{field}", place
