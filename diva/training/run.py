"""From a recipe to a trained tower in a folder."""

import logging
import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, ProjectConfiguration, set_seed
from rich.console import Console
from safetensors.torch import save_file

from diva.condition import DenseRecapCondition
from diva.data import ImageStreams, Loader, Source, count_images, open_source, to_unit_range
from diva.denoisers import StableDiffusionDenoiser
from diva.errors import InputError
from diva.export.open_clip_format import write_open_clip
from diva.objectives import mean_squared_error
from diva.recipes import Recipe, load_recipe, write_recipe
from diva.towers import Clip, TowerInput, load_clip
from diva.training.checkpoints import checkpoints
from diva.training.diagnostics import Diagnostics
from diva.training.draws import draw
from diva.training.student import Student
from diva.training.trainer import Trainer

# what a resumed run may change: it alters no number beyond floating-point order
FREE_ON_RESUME = {
    "data.workers",
    "training.micro_batch",
    "training.log_every",
    "training.checkpoint_every",
    "training.keep_checkpoints",
    "training.trackers",
}


def train(recipe: Recipe, folder: Path, *, resume: bool = False) -> None:
    """Train the recipe's tower into `folder`.

    The folder then holds `tower/` (open_clip's format, with the untouched text tower), `projection.safetensors`,
    `metrics.jsonl`, `recipe.yaml` with every field resolved, and `checkpoints/`. SIGTERM saves a checkpoint and
    returns normally. Processes and devices are those of `accelerate launch` or `torchrun`.

    Raises:
        InputError: the recipe names something that is missing or does not fit.
        RunError: the run stopped: a loss that is not finite, too many bad images, a full disk.
    """
    accelerator = build_accelerator(recipe, folder)
    latest = _find_checkpoint(recipe, folder, resume)
    set_seed(recipe.seed)
    clip = load_clip(
        recipe.tower.name,
        Path(recipe.tower.checkpoint) if recipe.tower.checkpoint else None,
        random_weights=recipe.tower.random_weights,
    )
    if not clip.has_text:
        raise InputError("tower.name: has no text tower, which the trained folder needs; give the whole model")
    trainer = build_trainer(recipe, accelerator, clip, folder)
    if accelerator.is_main_process and latest is None:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        (folder / "metrics.jsonl").unlink(missing_ok=True)  # of a run that never reached a checkpoint
        write_recipe(recipe, folder / "recipe.yaml")
    if recipe.training.trackers:
        accelerator.init_trackers("diva")
    accelerator.wait_for_everyone()
    with trainer.loader, _logging_to(folder / "train.log"), _stopping_on_sigterm(trainer):
        finished = trainer.run(latest)
    if finished and accelerator.is_main_process:
        _write_tower(trainer, clip, folder)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    console = Console(stderr=True, quiet=not accelerator.is_main_process)
    if finished:
        console.print(f"trained {trainer.step} steps; the tower is in {folder / 'tower'}")
    else:
        console.print(f"stopped at step {trainer.step} as asked; go on with --resume")


def build_trainer(recipe: Recipe, accelerator: Accelerator, clip: Clip, folder: Path) -> Trainer:
    """Build every part that `recipe` names around `clip`, on the accelerator's device."""
    training, device = recipe.training, accelerator.device
    share = training.micro_batch * accelerator.num_processes
    if training.global_batch % share:
        raise InputError(
            f"training.global_batch: {training.global_batch} is no multiple of micro_batch × processes"
            f" ({training.micro_batch} × {accelerator.num_processes}); change one of them"
        )
    source = open_source(recipe.data.source)
    denoiser = StableDiffusionDenoiser(recipe.denoiser, dtype=getattr(torch, training.frozen_dtype), device=device)
    condition = DenseRecapCondition(
        recipe.condition,
        tower_width=clip.tower.width,
        patches=clip.tower.patches,
        text=denoiser.encode_prompt(recipe.condition.prompt),
    )
    clip.tower.set_grad_checkpointing(recipe.tower.grad_checkpointing)
    student = Student(clip.tower, condition, shuffle=recipe.feedback.shuffle_condition).to(device)
    tower_input = clip.input.replace(**recipe.tower.input.model_dump(exclude_none=True))
    return Trainer(
        recipe,
        accelerator,
        student=student,
        denoiser=denoiser,
        objective=mean_squared_error,
        tower_input=tower_input,
        loader=_loader(recipe, accelerator, source),
        diagnostics=_diagnostics(recipe, accelerator, source, student, denoiser, tower_input),
        stage_steps=_stage_steps(recipe, source),
        folder=folder,
    )


def build_accelerator(recipe: Recipe, folder: Path) -> Accelerator:
    """Return the accelerator that the recipe asks for; trackers write into `folder`.

    Raises:
        InputError: a tracker is not installed.
    """
    for tracker in recipe.training.trackers:
        if find_spec(tracker) is None:
            raise InputError(f"training.trackers: {tracker} is not installed; run pip install {tracker}")
    return Accelerator(
        mixed_precision="bf16" if recipe.training.precision == "bf16" else "no",
        log_with=list(recipe.training.trackers) or None,
        project_config=ProjectConfiguration(project_dir=str(folder), logging_dir=str(folder)),
        # the schedule counts updates, not updates times processes
        dataloader_config=DataLoaderConfiguration(split_batches=True),
    )


def _find_checkpoint(recipe: Recipe, folder: Path, resume: bool) -> Path | None:
    """Return the checkpoint to go on from, or None for a new run."""
    saved = checkpoints(folder / "checkpoints")
    if not resume and (saved or (folder / "tower").exists()):
        raise InputError(f"{folder}: already holds a run; go on with --resume or choose another --out")
    if not saved:
        return None
    _refuse_changes(load_recipe(str(folder / "recipe.yaml")), recipe, folder)
    return saved[-1]


def _refuse_changes(before: Recipe, now: Recipe, folder: Path) -> None:
    old, new = (dict(_fields(recipe.model_dump())) for recipe in (before, now))
    for field in sorted(old.keys() | new.keys()):
        if old.get(field) != new.get(field) and field not in FREE_ON_RESUME:
            raise InputError(f"{field}: differs from {folder / 'recipe.yaml'}; a resumed run keeps its recipe")


def _fields(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every field with its dotted name."""
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _fields(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _loader(recipe: Recipe, accelerator: Accelerator, source: Source) -> Loader:
    return Loader(
        _streams(recipe, source, recipe.seed, accelerator.process_index, accelerator.num_processes),
        batch_size=recipe.training.micro_batch,
        workers=recipe.data.workers,
        max_bad_share=recipe.data.max_bad_share,
        pin_memory=accelerator.device.type == "cuda",
    )


def _streams(recipe: Recipe, source: Source, seed: int, rank: int, world_size: int) -> ImageStreams:
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


def _diagnostics(
    recipe: Recipe,
    accelerator: Accelerator,
    source: Source,
    student: Student,
    denoiser: StableDiffusionDenoiser,
    tower_input: TowerInput,
) -> Diagnostics | None:
    """Return the measurements on a grid that is drawn from another seed than the training; the same in any run."""
    wanted = recipe.diagnostics
    if wanted.every is None or not accelerator.is_main_process:
        return None
    seed = recipe.seed + 1
    with Loader(_streams(recipe, source, seed, 0, 1), batch_size=wanted.images) as loader:
        batch = next(loader)
    rgb = to_unit_range(batch.pixels.to(accelerator.device))
    latents = denoiser.encode(rgb)
    draws = draw(
        seed,
        batch.indices.tolist(),
        samples=wanted.samples,
        timesteps=denoiser.timesteps,
        latent_shape=latents.shape[1:],
        condition=student.condition,
        device=accelerator.device,
    )
    return Diagnostics(student, denoiser, pixels=tower_input.from_rgb(rgb), latents=latents, draws=draws)


def _stage_steps(recipe: Recipe, source: Source) -> list[int]:
    batch = recipe.training.global_batch
    steps = []
    for stage in recipe.stages:
        if stage.steps is not None:
            steps.append(stage.steps)
        elif stage.images is not None:
            steps.append(math.ceil(stage.images / batch))
        else:
            assert stage.epochs is not None
            steps.append(math.ceil(stage.epochs * count_images(source) / batch))
    return steps


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Append what the package logs to a file, and show it on the terminal."""
    logger = logging.getLogger("diva")
    file, terminal = logging.FileHandler(path), logging.StreamHandler()
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(file)
    logger.addHandler(terminal)
    logger.propagate = False  # a root handler that some library installs would say everything twice
    try:
        yield
    finally:
        logger.propagate = True
        logger.removeHandler(terminal)
        logger.removeHandler(file)
        file.close()


@contextmanager
def _stopping_on_sigterm(trainer: Trainer) -> Iterator[None]:
    def request_stop(_signal: int, _frame: FrameType | None) -> None:
        trainer.stop_requested = True

    before = signal.signal(signal.SIGTERM, request_stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _write_tower(trainer: Trainer, clip: Clip, folder: Path) -> None:
    write_open_clip(clip, folder / "tower")
    projection = {key: value.cpu() for key, value in trainer.student.condition.state_dict().items()}
    save_file(projection, folder / "projection.safetensors")
    if trainer.ema:
        clip.tower.load_state_dict(trainer.ema.module.state_dict())
        write_open_clip(clip, folder / "tower-ema")
