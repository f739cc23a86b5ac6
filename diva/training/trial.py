"""A trial of a run: a few small updates through everything that it does, and what the whole of it will take."""

import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import psutil
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from rich.console import Console

from diva.atomic import check_files_in, discard, temporary_name
from diva.data import count_images, open_source
from diva.errors import Failed, OutOfMemory
from diva.recipes import Recipe
from diva.results import peak_memory_bytes
from diva.run_folder import MetricsLine, RunFolder
from diva.towers.quiet import quiet
from diva.training.build import join_processes, stage_steps
from diva.training.run import train

UPDATES = 3  # of a stage: the first warms up, the second is timed, the last is measured and written as well
CPU_SIDE = 192  # pixels at most, where there is no GPU
GIB = 2**30


class Trial(NamedTuple):
    """What a trial found.

    Attributes:
        recipe: of the trial's own updates.
        device: that it ran on.
        seconds: of an image of the run, in each stage, as if its size were the trial's.
        memory, memory_there: the most that was in use, and all there is, in bytes; of a GPU where there is one.
        written: bytes of a checkpoint, of a tower that is kept beside it, and of what is written at the end.
    """

    recipe: Recipe
    device: torch.device
    seconds: list[float]
    memory: int
    memory_there: int
    written: tuple[int, int, int]


def try_out(recipe: Recipe, folder: Path, *, console: Console) -> None:
    """Make a few small updates of every stage of `recipe`, and say on `console` what the run in `folder` will take.

    All that a run opens is opened, and all that it writes is written, beside `folder` and under a temporary name
    that is gone at the end. On a GPU a micro-batch is the recipe's own. On a CPU it has one image, or two that are
    compared, of 192 pixels where the denoiser can read that, and all is in float32: without instructions for it
    bfloat16 takes a hundred times as long. Processes and devices are those of `accelerate launch` or `torchrun`.

    Raises:
        InputError: as for `diva.training.train`.
        RunError: an update failed, or the memory does not hold it.
    """
    check_files_in(folder)
    state = join_processes()
    small = reduced(recipe, state.device, state.num_processes)
    temporary = Path(gather_object([str(temporary_name(folder))])[0])  # the main process's, for all
    try:
        found = _measured(small, RunFolder(temporary), state)
    finally:
        state.wait_for_everyone()
        if state.is_main_process:
            discard(temporary)
    if state.is_main_process:
        for line in told(recipe, found, shutil.disk_usage(_existing(folder)).free):
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def reduced(recipe: Recipe, device: torch.device, processes: int) -> Recipe:
    """Return the recipe of the trial: the same parts, few images, no warm-up (its first rate is 0)."""
    data, training = recipe.data, recipe.training
    micro, side, dtypes = training.micro_batch, data.image_size, {}
    if device.type == "cpu":
        together = recipe.objective.compares_images or recipe.feedback.shuffle_condition
        micro = min(micro, 2 if together else 1)
        if data.latents is None and data.verdicts is None:  # a cache is of one size and one precision
            side = min(side, CPU_SIDE) if recipe.denoiser.any_size else side
            dtypes = {"precision": "fp32", "frozen_dtype": "float32"}
    accumulation = 1 if training.global_batch <= micro * processes or device.type == "cpu" else 2
    short = {"steps": UPDATES, "epochs": None, "images": None, "warmup": 0.0}
    changes = {"global_batch": micro * processes * accumulation, "micro_batch": micro, "log_every": 1}
    looks = {"every": recipe.diagnostics.every and UPDATES * len(recipe.stages), "images": 2, "samples": 1}
    return recipe.model_copy(
        update={
            "data": data.model_copy(update={"image_size": side, "shuffle_buffer": data.streams}),
            "training": training.model_copy(
                update=changes | dtypes | {"checkpoint_every": UPDATES, "trackers": ()}
            ),
            "diagnostics": recipe.diagnostics.model_copy(update=looks),
            "stages": tuple(stage.model_copy(update=short) for stage in recipe.stages),
        }
    )


def told(recipe: Recipe, found: Trial, free: int) -> list[str]:
    """Return the lines that say what a whole run of `recipe` takes, where `free` bytes of disk are left."""
    small, batch = found.recipe, recipe.training.global_batch
    updates = stage_steps(recipe, lambda: count_images(open_source(_images(recipe))))
    larger = (recipe.data.image_size / small.data.image_size) ** 2
    seconds = sum(number * batch * each * larger for number, each in zip(updates, found.seconds, strict=True))
    bound = f"at most {_time(seconds)}, by {larger:.3g} times the pixels" if larger > 1 else _time(seconds)
    speed = ", ".join(f"{1 / each:.3g}" for each in found.seconds)
    keep, (checkpoint, kept, end) = recipe.training.keep_checkpoints, found.written
    towers = -(-sum(updates) // recipe.training.checkpoint_every) * kept
    needed = (keep + 1) * checkpoint + towers + end  # a new checkpoint is written before the oldest goes
    and_towers = ", the towers beside them" if kept else ""
    smaller = small.training.micro_batch < recipe.training.micro_batch or larger > 1
    more = f"; micro-batches of {recipe.training.micro_batch} at {recipe.data.image_size} px take more"
    return [
        f"trial on {found.device}: {UPDATES} updates a stage of {small.training.global_batch} image(s) at"
        f" {small.data.image_size} px, all parts loaded, all files written",
        f"time: {speed} images/s; the whole run ({sum(updates):,} updates of {batch:,} images) takes {bound},"
        " besides diagnostics and checkpoints",
        f"memory: {found.memory / GIB:.1f} of {found.memory_there / GIB:.1f} GiB{more if smaller else ''}",
        f"disk: {needed / GIB:.1f} GiB for {keep} checkpoints{and_towers} and what is written at the end,"
        f" {free / GIB:.1f} GiB are free{'' if needed < free else ': TOO LITTLE'}",
    ]


def _measured(recipe: Recipe, run: RunFolder, state: PartialState) -> Trial:
    lines: list[MetricsLine] = []
    try:
        with quiet("diva.training"):  # what two images say of the feedback means nothing
            train(recipe, run.path, on_metrics=lines.append)
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(
            "training.micro_batch",
            f"{recipe.training.micro_batch} images do not fit into the memory of"
            f" {state.device}; lower it, or set training.checkpoint_activations=both",
        ) from error
    if state.is_main_process and not run.tower.exists():
        raise Failed("--trial", "was stopped before its end; start it again")
    checkpoints = [_size(path) for path in run.checkpoints()]
    towers = [_size(path) for path in run.kept_tower(0).parent.glob("*")]
    written = (
        max(checkpoints, default=0),
        max(towers, default=0),
        _size(run.path) - sum(checkpoints) - sum(towers),
    )
    memory, there = _memory(state.device)
    return Trial(recipe, state.device, _seconds(lines), memory, there, written)


def _seconds(lines: Sequence[MetricsLine]) -> list[float]:
    """Return the seconds of an image in each stage: those of its second update, which nothing else is done in."""
    return [1 / line.images_per_second for line in lines[1::UPDATES] if line.images_per_second]


def _memory(device: torch.device) -> tuple[int, int]:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), torch.cuda.get_device_properties(device).total_memory
    return peak_memory_bytes(), psutil.virtual_memory().total


def _images(recipe: Recipe) -> str:
    return recipe.data.verdicts or recipe.data.latents or recipe.data.source


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _existing(folder: Path) -> Path:
    return next(place for place in folder.absolute().parents if place.exists())


def _time(seconds: float) -> str:
    days = seconds / 86400
    return f"{days:,.0f} days" if days > 3 else str(timedelta(seconds=round(seconds)))
