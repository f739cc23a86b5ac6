"""From a recipe to a trained tower in a folder."""

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from accelerate import Accelerator
from accelerate.utils import gather_object, set_seed
from rich.console import Console

from diva.errors import Changed, InputError, RunError, printable
from diva.exporting.whole_format import write_whole
from diva.recipes import Recipe, write_recipe
from diva.recipes.resume import check_resumed, free_on_resume
from diva.run_folder import MetricsLine, Position, RunFolder, step_of
from diva.towers import Clip
from diva.training.adapt import plain_state
from diva.training.artefacts import tower_digest, write_denoiser, write_projection
from diva.training.build import build_accelerator, build_trainer, load_tower
from diva.training.sharding import check_checkpoint, gather, whole
from diva.training.trainer import Trainer

logger = logging.getLogger("diva.training")


def train(
    recipe: Recipe, folder: Path, *, resume: bool = False, on_metrics: Callable[[MetricsLine], None] | None = None
) -> None:
    """Train the recipe's tower into `folder`.

    The folder then holds `tower/` (open_clip's format, with the untouched text tower; of an image tower alone
    timm's or transformers'), `projection.safetensors`, `denoiser/` where a stage trains it, `metrics.jsonl`,
    `recipe.yaml` with every field resolved, and `checkpoints/`. SIGTERM saves a checkpoint and returns normally.
    Processes and devices are those of `accelerate launch` or `torchrun`.

    Args:
        on_metrics: called with each line of `metrics.jsonl`, on the main process, in place of sentences.

    Raises:
        InputError: the recipe names something that is missing or does not fit, another process is at work in
            `folder`, or each checkpoint there is damaged.
        RunError: the run stopped: a loss that is not finite, too many bad images, a full disk.
    """
    run, accelerator = RunFolder(folder), build_accelerator(recipe, folder)
    with ExitStack() as held, _logging_to(run.log):

        def begin() -> Path | None:
            held.enter_context(run.lock())
            return _find_checkpoint(recipe, run, resume)

        _train(recipe, run, accelerator, _of_main(accelerator, begin), on_metrics)


def _train(
    recipe: Recipe,
    run: RunFolder,
    accelerator: Accelerator,
    latest: Path | None,
    on_metrics: Callable[[MetricsLine], None] | None,
) -> None:
    """Train from the checkpoint `latest`, or from the start, to the end or until a stop is asked for."""
    console = Console(stderr=True, quiet=bool(on_metrics) or not accelerator.is_main_process, markup=False)
    if latest is None and run.tower.exists():
        console.print(f"nothing is left to train; the tower is in {run.tower}", soft_wrap=True)
        return
    if latest:
        console.print(f"resuming from step {step_of(latest)} ({latest})", soft_wrap=True)
        check_checkpoint(accelerator, latest)
        _refuse_other_processes(recipe, latest, accelerator.num_processes)
    set_seed(recipe.seed)
    clip = load_tower(recipe)
    original = tower_digest(clip.tower)
    trainer = build_trainer(recipe, accelerator, clip, run.path)
    trainer.on_metrics = on_metrics
    if accelerator.is_main_process and latest is None:
        run.checkpoint_folder.mkdir(parents=True, exist_ok=True)
        run.metrics.unlink(missing_ok=True)  # of a run that never reached a checkpoint
        write_recipe(recipe, run.recipe)
    if recipe.training.keep_towers:
        trainer.before_checkpoint = partial(_keep_tower, trainer, clip)
    if recipe.training.trackers:
        # TensorBoard writes where the accelerator says
        wandb = {"name": recipe.name, "dir": str(run.path), "config": recipe.model_dump(mode="json")}
        accelerator.init_trackers("diva", init_kwargs={"wandb": wandb})
    accelerator.wait_for_everyone()
    with trainer.loader, _stopping_on_sigterm(trainer):
        finished = trainer.run(latest)
    if finished:
        gather(trainer.parts.modules.present)
    if finished and accelerator.is_main_process:
        _write_results(trainer, clip, original)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    if finished:
        console.print(f"trained {trainer.step} steps; the tower is in {run.tower}", soft_wrap=True)
    else:
        console.print(f"stopped at step {trainer.step} as asked; go on with --resume")


def _of_main(accelerator: Accelerator, find: Callable[[], Path | None]) -> Path | None:
    """Return in every process what the main one finds, or raise there what it raises."""
    found: Path | Exception | None = None
    if accelerator.is_main_process:
        try:
            found = find()
        except (InputError, RunError) as error:
            found = error
    found = gather_object([found])[0]
    if isinstance(found, Exception):
        raise found
    return found


def _find_checkpoint(recipe: Recipe, run: RunFolder, resume: bool) -> Path | None:
    """Return the checkpoint to go on from, or None for a new run."""
    before = run.read_recipe if run.checkpoints() or run.tower.exists() else None
    check_resumed(run.path, before, recipe, resume=resume, free=free_on_resume(recipe))
    found, damaged = run.newest_checkpoint()
    for warning in damaged:
        logger.warning(warning)
    if before is None:
        run.check_new()
    return found


def _refuse_other_processes(recipe: Recipe, checkpoint: Path, processes: int) -> None:
    if not recipe.feedback.same_draws_on_every_process:
        return
    before = Position.read(checkpoint).processes
    if before != processes:
        raise Changed(
            "feedback.same_draws_on_every_process",
            f"the draws depend on the number of processes, {before} in"
            f" {checkpoint} and {processes} now; start as many as the run began with",
        )


class _OneLine(logging.Formatter):
    """Shows what a terminal would obey, such as a line break in a file's name, in place of obeying it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        return printable(super().formatMessage(record))


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Append what the package logs to a file, and show it on the terminal."""
    logger = logging.getLogger("diva")
    file, terminal = logging.FileHandler(path, delay=True), logging.StreamHandler()
    file.setFormatter(_OneLine("%(asctime)s %(levelname)s %(message)s"))
    terminal.setFormatter(_OneLine("%(message)s"))
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
        trainer.stop.requested = True

    before = signal.signal(signal.SIGTERM, request_stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _keep_tower(trainer: Trainer, clip: Clip) -> None:
    state = {name: whole(tensor) for name, tensor in plain_state(trainer.student.tower).items()}
    if trainer.accelerator.is_main_process:
        clip.tower.load_state_dict(state)
        write_whole(clip, trainer.run_folder.kept_tower(trainer.step))


def _write_results(trainer: Trainer, clip: Clip, original: str) -> None:
    """Write what the run has trained; `original` is the digest of the tower that it started from."""
    run = trainer.run_folder
    clip.tower.load_state_dict(plain_state(trainer.student.tower))
    trained = {"projection": original, "denoiser": original}
    changed = original
    for stage in trainer.recipe.stages:
        if "tower" in stage.train:
            changed = tower_digest(clip.tower)
        trained |= dict.fromkeys(stage.train, changed)
    write_projection(trainer.student.condition, run, trainer.recipe, trained["projection"])
    if any("denoiser" in stage.train for stage in trainer.recipe.stages):
        write_denoiser(trainer.denoiser, run, trainer.recipe, trained["denoiser"])
    write_whole(clip, run.tower)
    if trainer.ema:
        clip.tower.load_state_dict(plain_state(trainer.ema.module))
        write_whole(clip, run.moving_average)
