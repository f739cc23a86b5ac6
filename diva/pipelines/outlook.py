"""What would keep a run from its end, as far as it can be seen before it begins."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from diva.errors import InputError
from diva.pipelines.data import absent_data, incomplete_data
from diva.pipelines.manifest import MANIFEST
from diva.pipelines.plan import TRAINING, Step
from diva.pipelines.schema import Pipeline
from diva.recipes import Recipe, load_recipe
from diva.recipes.resume import check_resumed, free_on_resume


def obstacles(steps: Sequence[Step], pipeline: Pipeline, recipe: Recipe, folder: Path) -> list[str]:
    """Return a line for each: another run in `folder`, no such device, data that are missing or incomplete."""
    lines = [*_another_run(recipe, folder), *_missing_device(pipeline)]
    for step in steps:
        lines += [*absent_data(step), *incomplete_data(step)]
    return list(dict.fromkeys(lines))


def _another_run(recipe: Recipe, folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        return
    if (folder / TRAINING).is_file():
        try:
            check_resumed(folder, lambda: load_recipe(str(folder / TRAINING)), recipe, free=free_on_resume(recipe))
        except InputError as error:
            yield f"{folder} holds another run: {error}"
    elif not (folder / MANIFEST).exists() and any(folder.iterdir()):
        yield f"{folder} holds something else than a run of this command; name another folder with --out"


def _missing_device(pipeline: Pipeline) -> Iterator[str]:
    if pipeline.device is None or pipeline.device == "cpu":
        return
    import torch  # which takes seconds to import

    count = torch.cuda.device_count()  # no tensor is made: its context would hold a GPU while the steps run
    kind, _, index = pipeline.device.partition(":")
    if kind == "cuda":
        there = (index or "0").isdecimal() and int(index or 0) < count
    else:
        there = kind == "auto" or _usable(pipeline.device)
    if not there:
        yield f"pipeline.device: this machine has no {pipeline.device}; run it on one that has, or set another"
    elif kind in ("cuda", "auto") and 0 < count < pipeline.processes:
        yield f"pipeline.processes: {pipeline.processes}, but this machine has {count} GPUs; set it to that"


def _usable(device: str) -> bool:
    from diva.device import usable_device

    try:
        usable_device(device)
    except InputError:
        return False
    return True
