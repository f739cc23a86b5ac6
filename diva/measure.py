"""Measuring a tower by a task, and comparing what came out."""

from pathlib import Path
from typing import Any

from diva.device import usable_device
from diva.errors import Invalid, Missing
from diva.results import Comparison, Result
from diva.tasks import Task, TowerTask, find_task
from diva.towers import load_clip


def evaluate(
    task: Task | str,
    tower: str,
    data: Path | str,
    *,
    checkpoint: Path | None = None,
    text_from: str | None = None,
    against: str | None = None,
    against_checkpoint: Path | None = None,
    batch: int = 32,
    device: str = "auto",
    **settings: Any,
) -> Result:
    """Measure a tower by a task, beside a baseline where one is named, and return the result.

    Args:
        task: a task, or the name of an installed one.
        tower: a name that `diva.load_clip` takes.
        data: the task's folder or file.
        against: the baseline, named likewise.
        checkpoint: the weights file of `tower`.
        against_checkpoint: the weights file of `against`.
        text_from: the whole model that `tower` was trained from, if it is an image tower alone.
        batch: images encoded at once.
        device: "auto" is a GPU if there is one.
        settings: the task's own settings.

    Raises:
        InputError: a name, a file or a setting cannot be used, or the task is not one of towers.
    """
    chosen = find_task(task) if isinstance(task, str) else task
    if not isinstance(chosen, TowerTask):
        raise Invalid(chosen.name, "does not measure a tower by itself; use its command of `diva`")
    if batch < 1:
        raise Invalid("--batch", f"{batch} is too few; give 1 or more")
    if against is None and against_checkpoint is not None:
        raise Missing("--against-checkpoint", f"{against_checkpoint} has no tower; name it with --against")
    told, where = chosen.read_settings(settings), usable_device(device)
    chosen.check(Path(data), told)
    named = [(tower, checkpoint, text_from)] + ([(against, against_checkpoint, None)] if against else [])
    clips = [load_clip(name, weights, text_from=text) for name, weights, text in named]
    if chosen.needs_text:
        for clip in clips:  # before the first of two is measured
            clip.require_text()
    results = [chosen.measure(clip, Path(data), told, device=where, batch=batch) for clip in clips]
    result = results[0]
    for baseline in results[1:]:
        result.baseline, result.comparisons = baseline, chosen.compare(result, baseline)
    return result


def compare(result: Result, baseline: Result) -> list[Comparison]:
    """Compare two results of one task item by item, the headline first.

    Raises:
        InputError: they were not measured alike.
    """
    return find_task(result.task).compare(result, baseline)
