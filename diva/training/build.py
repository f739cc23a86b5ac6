"""From a recipe to the parts of a run: the one place where their types become objects."""

import copy
import math
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import (
    DataLoaderConfiguration,
    DistributedDataParallelKwargs,
    ProjectConfiguration,
    parse_flag_from_env,
)
from torch import Tensor

from diva.condition import build_condition
from diva.data import ImageStreams, Loader, Source, count_images, to_unit_range
from diva.denoisers import Denoiser, load_denoiser
from diva.denoisers.absent import AbsentDenoiser
from diva.denoisers.base import ReadsImageEmbeddings
from diva.errors import Invalid, Mismatch, NotInstalled, Unsupported
from diva.exporting.whole_format import check_whole
from diva.objectives import Anchored, Objective, build_objective, frozen
from diva.progress import phase, steps
from diva.recipes import Recipe
from diva.recipes.conditions import Projected
from diva.run_folder import RunFolder
from diva.towers import Clip, Tower, TowerInput, load_clip
from diva.training.adapt import adapt
from diva.training.artefacts import check_denoiser, read_projection
from diva.training.diagnostics import Diagnostics
from diva.training.draws import draw
from diva.training.prefetch import MicroBatch
from diva.training.sharding import sharding_plugin
from diva.training.sources import source_of
from diva.training.speed import speed_up
from diva.training.student import Student
from diva.training.trainer import Trainer


@phase("preparing the run")
def build_trainer(recipe: Recipe, accelerator: Accelerator, clip: Clip, folder: Path) -> Trainer:
    """Build every part that `recipe` names around `clip`, on the accelerator's device.

    Raises:
        InputError: a part is missing, or the parts do not fit together.
    """
    training, device = recipe.training, accelerator.device
    share = training.micro_batch * accelerator.num_processes
    if training.global_batch % share:
        raise Invalid(
            "training.global_batch",
            f"{training.global_batch} is no multiple of micro_batch × processes"
            f" ({training.micro_batch} × {accelerator.num_processes}); change one of them",
        )
    dtype = getattr(torch, training.frozen_dtype)
    trained = any("denoiser" in stage.train for stage in recipe.stages)
    check_denoiser(recipe.denoiser, clip.tower)
    check_whole(clip)
    denoiser: Denoiser = AbsentDenoiser()
    if recipe.objective.asks_denoiser:
        denoiser = load_denoiser(recipe.denoiser, dtype=dtype, device=device, trained=trained)
    objective = build_objective(recipe.objective, clip, device, dtype)
    if recipe.preservation.anchor:
        objective = Anchored(objective, frozen(clip.tower, dtype, device), recipe.preservation.anchor)
    tower_input = clip.input.replace(**recipe.tower.input.model_dump(exclude_none=True))
    source = source_of(recipe, clip, denoiser, objective, tower_input)
    if isinstance(denoiser, ReadsImageEmbeddings) and denoiser.images_to_fit:
        embeddings = _embeddings(recipe, source, clip.tower.to(device), tower_input, denoiser.images_to_fit)
        denoiser.fit(embeddings)
    condition = build_condition(recipe.condition, clip.tower, denoiser)
    if isinstance(recipe.condition, Projected) and recipe.condition.weights:
        read_projection(Path(recipe.condition.weights), condition, clip.tower)
    # sharding changes a module for good, and what is written is the tower that was loaded, with other weights
    tower = adapt(copy.deepcopy(clip.tower) if accelerator.is_fsdp2 else clip.tower, recipe.tower.adapt)
    student = Student(tower, condition, shuffle=recipe.feedback.shuffle_condition).to(device)
    speed_up(recipe, tower, denoiser, device)
    return Trainer(
        recipe,
        accelerator,
        student=student,
        denoiser=denoiser,
        objective=objective,
        tower_input=tower_input,
        loader=build_loader(recipe, accelerator, source),
        diagnostics=_diagnostics(
            recipe,
            accelerator,
            source,
            student=student,
            denoiser=denoiser,
            objective=objective,
            tower_input=tower_input,
        ),
        stage_steps=stage_steps(recipe, lambda: count_images(source)),
        run_folder=RunFolder(folder),
    )


def load_tower(recipe: Recipe) -> Clip:
    """Load the model whose tower `recipe` trains.

    Raises:
        InputError: it is missing or cannot be read.
    """
    checkpoint = Path(recipe.tower.checkpoint) if recipe.tower.checkpoint else None
    return load_clip(recipe.tower.name, checkpoint, random_weights=recipe.tower.random_weights)


def build_accelerator(recipe: Recipe, folder: Path) -> Accelerator:
    """Return the accelerator that the recipe asks for; trackers write into `folder`.

    Raises:
        InputError: a tracker is not installed, or the launcher wants what is not supported.
    """
    if parse_flag_from_env("ACCELERATE_USE_DEEPSPEED"):
        raise Unsupported(
            "ACCELERATE_USE_DEEPSPEED",
            "DeepSpeed is not supported; start the run with torchrun, and to share out"
            " what is trained set ACCELERATE_USE_FSDP=true and FSDP_VERSION=2",
        )
    for tracker in recipe.training.trackers:
        if find_spec(tracker) is None:
            raise NotInstalled("training.trackers", f"{tracker} is not installed; run pip install {tracker}")
    accelerator = Accelerator(
        mixed_precision="bf16" if recipe.training.precision == "bf16" else "no",
        fsdp_plugin=sharding_plugin(recipe),
        log_with=list(recipe.training.trackers) or None,
        project_config=ProjectConfiguration(project_dir=str(folder), logging_dir=str(folder)),
        # the schedule counts updates, not updates times processes
        dataloader_config=DataLoaderConfiguration(split_batches=True),
        # every buffer is a constant; sending them would let the main process wait for the others when it measures
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
    _check_joined(accelerator.num_processes)
    return accelerator


def join_processes() -> PartialState:
    """Return which of the launcher's processes this one is, and on which device, where nothing is trained.

    Raises:
        InputError: the processes are not joined, so that each would do all the work.
    """
    state = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))
    _check_joined(state.num_processes)
    return state


def _check_joined(processes: int) -> None:
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != processes:
        # each would work by itself, into the same folder
        raise Mismatch(
            "WORLD_SIZE",
            f"{started} processes were started, but no GPU can be used, and they are not joined; mend"
            " the driver or torch's build, or on a CPU set ACCELERATE_USE_CPU=true",
        )


def build_loader(recipe: Recipe, place: Accelerator | PartialState, source: Source) -> Loader:
    """Return the batches of one process; `place` says which one, and on which device."""
    return Loader(
        streams(recipe, source, recipe.seed, place.process_index, place.num_processes),
        batch_size=recipe.training.micro_batch,
        workers=recipe.data.workers,
        max_bad_share=recipe.data.max_bad_share,
        pin_memory=place.device.type == "cuda",
    )


def streams(recipe: Recipe, source: Source, seed: int, rank: int, world_size: int) -> ImageStreams:
    """Return the images of one of `world_size` processes, in an order of `seed`."""
    data = recipe.data
    return ImageStreams(
        source,
        seed=seed,
        streams=data.streams,
        rank=rank,
        world_size=world_size,
        image_size=data.image_size,
        crop_scale=data.crop_scale,
        shuffle_buffer=data.shuffle_buffer,
        min_side=data.min_side,
    )


@phase("preparing the diagnostics")
def _diagnostics(
    recipe: Recipe,
    accelerator: Accelerator,
    source: Source,
    *,
    student: Student,
    denoiser: Denoiser,
    objective: Objective,
    tower_input: TowerInput,
) -> Diagnostics | None:
    """Return the measurements on a grid that is drawn from another seed than the training; the same in any run."""
    wanted = recipe.diagnostics
    # there is no feedback to look at without a denoiser; a sharded student computes only in all processes together
    if wanted.every is None or not recipe.objective.asks_denoiser:
        return None
    if not (accelerator.is_main_process or accelerator.is_fsdp2):
        return None
    seed = recipe.seed + 1
    with Loader(streams(recipe, source, seed, 0, 1), batch_size=wanted.images) as loader:
        batch = next(loader)
    device = accelerator.device
    latents = None if batch.latents is None else batch.latents.to(device)
    draws = draw(
        seed,
        batch.indices.tolist(),
        samples=wanted.samples,
        side=recipe.data.image_size,
        denoiser=denoiser,
        condition=student.condition,
        objective=objective,
        device=device,
    )
    micro_batch = MicroBatch(batch._replace(pixels=batch.pixels.to(device), latents=latents), draws)
    rgb, latents = micro_batch.images(denoiser)
    return Diagnostics(student, denoiser, pixels=tower_input.from_rgb(rgb), latents=latents, draws=draws)


@torch.no_grad()
def _embeddings(recipe: Recipe, source: Source, tower: Tower, tower_input: TowerInput, images: int) -> Tensor:
    """Return the tower's embeddings [N, D] of so many images, drawn with another seed than the training's."""
    batch = min(recipe.training.micro_batch, images)
    device = next(tower.parameters()).device
    pooled = []
    with Loader(streams(recipe, source, recipe.seed + 1, 0, 1), batch_size=batch) as loader:
        for _ in steps(range(math.ceil(images / batch)), "embedding images"):
            rgb = to_unit_range(next(loader).pixels.to(device))
            pooled.append(tower(tower_input.from_rgb(rgb)).pooled)
    return torch.cat(pooled)[:images]


def stage_steps(recipe: Recipe, count: Callable[[], int]) -> list[int]:
    """Return the updates of each stage; `count` gives the images of a pass, and is asked where a stage needs it."""
    batch = recipe.training.global_batch
    steps = []
    for stage in recipe.stages:
        if stage.steps is not None:
            steps.append(stage.steps)
        elif stage.images is not None:
            steps.append(math.ceil(stage.images / batch))
        else:
            assert stage.epochs is not None
            steps.append(math.ceil(stage.epochs * count() / batch))
    return steps
