"""From a recipe to its teacher's verdicts on its images."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console

from diva.data import open_source
from diva.data.cache import VerdictIndex
from diva.data.cache.source import is_whole
from diva.data.cache.write import Look
from diva.denoisers import load_denoiser
from diva.denoisers.base import ReadsText
from diva.errors import Mismatch
from diva.recipes import Recipe
from diva.recipes.objectives import Verdicts
from diva.training.build import join_processes, load_tower
from diva.training.caching import common, fill
from diva.training.sources import judged
from diva.verdicts.agreement import measure_agreement
from diva.verdicts.judge import Judge
from diva.verdicts.leaks import leaks
from diva.verdicts.readings import Readings
from diva.verdicts.statements import load_statements


def judge(
    recipe: Recipe,
    folder: Path,
    *,
    pixels: str = "uint8",
    batch: int = 16,
    benchmark: Path | None = None,
    by: Callable[..., Look] = Judge,
    console: Console,
) -> None:
    """Write the verdicts on a recipe's images into `folder`, or go on with them; lines of progress on `console`.

    Beside them lies the tower's input, so that a run reads nothing else. When all shards are there,
    `agreement.json` says how far the verdicts can be trusted. Processes and devices are those of `accelerate
    launch` or `torchrun`; processes share the shards.

    Args:
        recipe: its objective names the statements, its denoiser is the judge, and its tower reads the images first.
        folder: a new one, or one that holds a part of the same verdicts.
        pixels: how the tower's input is stored, "uint8" or "jpeg".
        batch: images judged at once.
        benchmark: folder of a benchmark whose statements should not be taught; those that are get a warning.
        by: takes what `Judge` takes, and gives the verdicts in its place.

    Raises:
        InputError: the recipe's objective takes no verdicts, its denoiser is no judge, something is missing, or
            `folder` holds another cache.
        RunError: too many images are unusable, losses are not finite, or the place cannot be written to.
    """
    objective, state = recipe.objective, join_processes()
    if not isinstance(objective, Verdicts):
        raise Mismatch(
            "objective.type", f"{objective.type} takes no verdicts; name a recipe of the method verdicts"
        )
    statements = load_statements(objective.statements)
    for text in leaks(statements, benchmark)[:1] if benchmark else ():
        console.print(
            f"warning: '{text}' and perhaps more of {objective.statements} stand in {benchmark}: what is taught"
            " is what is measured there",
            style="yellow",
            markup=False,
        )
    source, clip = open_source(recipe.data.source), load_tower(recipe)
    tower_input = clip.input.replace(**recipe.tower.input.model_dump(exclude_none=True))
    made = judged(recipe, objective, clip, tower_input)
    dtype = getattr(torch, recipe.training.frozen_dtype)
    denoiser = load_denoiser(recipe.denoiser, dtype=dtype, device=state.device)
    if not isinstance(denoiser, ReadsText):
        raise Mismatch("denoiser.type", f"{recipe.denoiser.type} reads no text, and so is no judge")
    settings = [denoiser.files_sha256, recipe.training.frozen_dtype, denoiser.encoder_sha256]
    index = VerdictIndex(
        made=made,
        **common(recipe, source, crops=1, pixels=pixels, batch=batch),
        teacher_sha256=hashlib.sha256(" ".join(settings).encode()).hexdigest(),
        checked=objective.checked,
        alternatives={name: group.alternatives for name, group in statements.groups.items()},
    )
    look = by(
        Readings(statements, clip, state.device),
        denoiser,
        denoiser.text_reader(dtype),
        clip.tower.requires_grad_(False).eval().to(state.device),
        tower_input,
        samples=objective.samples,
        checked=objective.checked,
        seed=recipe.seed,
    )
    fill(
        folder,
        index,
        source,
        look=look,
        tower=tower_input,
        recipe=recipe,
        state=state,
        batch=batch,
        console=console,
    )
    if all(is_whole(folder / name) for name in index.shards):  # the last process to end sees them all
        console.print(measure_agreement(folder, index, statements, objective.margin).table())
