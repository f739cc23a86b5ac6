"""The loop: feedback, backward, step; and everything that lets it stop and go on."""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from diva.augment import augmented
from diva.data import Batch, Loader, merge_states
from diva.denoisers import Denoiser
from diva.errors import Failed
from diva.feedback import Draws, feedback
from diva.objectives import Objective
from diva.progress import phase, steps
from diva.recipes import Recipe
from diva.recipes.stages import Stage
from diva.run_folder import MetricsLine, Position, RunFolder
from diva.towers.preprocess import TowerInput
from diva.training.checkpoints import save_checkpoint
from diva.training.diagnostics import Diagnostics, warnings
from diva.training.draws import draw, seed_dropout
from diva.training.metrics import Metrics
from diva.training.optimisation import build_optimizer, build_schedule
from diva.training.prefetch import MicroBatch, Prefetcher
from diva.training.sharding import distribute, whole
from diva.training.stop import Stop
from diva.training.student import Student
from diva.training.trainable import Modules, TrainableModules

logger = logging.getLogger("diva.training")


class StageState(NamedTuple):
    """A stage that can make its updates.

    Attributes:
        stage: of the recipe.
        modules: what accelerate has made of the parts.
        optimizer, schedule: of its parameters.
    """

    stage: Stage
    modules: Modules
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler


class Update(NamedTuple):
    """What an update leaves on the device.

    Attributes:
        losses: [S], of each noise sample.
        norms: of the gradients before clipping, by their names in the metrics.
        keys: of the images.
    """

    losses: Tensor
    norms: dict[str, Tensor]
    keys: list[str]


class Trainer:
    """Trains a `Student` through the recipe's stages.

    It knows neither which tower nor which method is running: it draws, calls `feedback`, and steps.
    """

    def __init__(
        self,
        recipe: Recipe,
        accelerator: Accelerator,
        *,
        student: Student,
        denoiser: Denoiser,
        objective: Objective,
        tower_input: TowerInput,
        loader: Loader,
        diagnostics: Diagnostics | None,
        stage_steps: list[int],
        run_folder: RunFolder,
    ) -> None:
        """Bring the parts together.

        Args:
            recipe: the resolved recipe.
            accelerator: places and distributes; nothing here calls torch.distributed.
            student, denoiser, objective, tower_input, loader: the parts, built from the recipe.
            diagnostics: measures the student now and then, on the main process alone unless the student is sharded.
            stage_steps: updates of each stage.
            run_folder: where checkpoints and metrics go.

        Raises:
            InputError: a stage has nothing to train, or the denoiser cannot read latents of the images' size.
        """
        self.recipe, self.accelerator, self.run_folder = recipe, accelerator, run_folder
        self.student, self.denoiser, self.objective = student, denoiser, objective
        self.tower_input, self.loader = tower_input, loader
        self.diagnostics, self.stage_steps = diagnostics, stage_steps
        trained = {part for stage in recipe.stages for part in stage.train}
        training = recipe.training
        self.ema: AveragedModel | None = None
        if training.ema_decay is not None:
            self.ema = AveragedModel(student.tower, multi_avg_fn=get_ema_multi_avg_fn(training.ema_decay))
            self.ema.requires_grad_(False)
        self.parts = TrainableModules(accelerator, student, denoiser if "denoiser" in trained else None, self.ema)
        for stage in recipe.stages:
            self.parts.select(stage.train)
        self.accumulation = training.global_batch // (training.micro_batch * accelerator.num_processes)
        weights = recipe.feedback.sample_weights
        samples = recipe.feedback.samples_per_image
        self.weights = torch.tensor(weights or [1 / samples] * samples, device=accelerator.device)
        self.prefetcher = Prefetcher(
            loader, self._draw, accelerator.device, ahead=accelerator.device.type == "cuda"
        )
        denoiser.latent_shape(recipe.data.image_size)  # before anything is written, if the network cannot read them
        self.step = 0
        self.stop = Stop(accelerator)
        self.before_checkpoint: Callable[[], None] | None = None  # called by every process
        self.on_metrics: Callable[[MetricsLine], None] | None = None  # with every line
        self._saved = 0  # the step of the newest checkpoint
        self._pending: list[Update] = []
        self._updated = False

    def run(self, resume: Path | None) -> bool:
        """Train until the last stage is done (returns True) or a stop is requested (returns False)."""
        position = Position.read(resume) if resume else None
        self.step = self._saved = position.step if position else 0
        if position:
            self.prefetcher.load_state_dict(position.data)
        first, total = position.stage if position else 0, sum(self.stage_steps)
        path, shown = self.run_folder.metrics, self.on_metrics
        with Metrics(self.accelerator, path, total=total, start=self.step, on_line=shown) as metrics:
            for number in range(first, len(self.stage_steps)):
                if not self._run_stage(number, metrics, resume if number == first else None):
                    return False
        return True

    def _run_stage(self, number: int, metrics: Metrics, resume: Path | None) -> bool:
        stage, training = self.recipe.stages[number], self.recipe.training
        end = sum(self.stage_steps[: number + 1])
        name = f"stage {number + 1}/{len(self.stage_steps)}"
        state = self.prepare(number)
        if resume:
            with phase("reading the checkpoint"):
                self.accelerator.load_state(str(resume))
        while self.step < end and not self.stop.agreed():
            rate = float(state.schedule.get_last_lr()[0])
            update = self.update(state, self.prefetcher)
            self._pending.append(update)
            if self.ema and "tower" in stage.train:
                self.ema.update_parameters(self.student.tower)
            self.step += 1
            metrics.phase.done = self.step
            due = self.step % training.checkpoint_every == 0 or self.step == sum(self.stage_steps)
            if self.step % training.log_every == 0 or due or self._look_due():
                self._report(metrics, name, rate, update.norms)
            if due:
                self._save(number)
        if self.step < end and self.step != self._saved:
            self._check_updates()
            self._save(number)
        unwrapped = (self.accelerator.unwrap_model(each, keep_fp32_wrapper=False) for each in state.modules.present)
        self.parts.use(state.modules.replaced(unwrapped))
        self.accelerator.free_memory()
        return self.step >= end

    def prepare(self, number: int) -> StageState:
        """Let gradients reach what a stage trains, and build its optimiser; `number` counts from 0."""
        stage = self.recipe.stages[number]
        optimizer = build_optimizer(stage.optimizer, self.parts.select(stage.train))
        schedule: LRScheduler = build_schedule(stage, optimizer, self.stage_steps[number])
        parts = self.parts.modules
        distributed, optimizer, schedule = distribute(self.accelerator, parts.present, optimizer, schedule)
        modules = parts.replaced(distributed)
        self.parts.use(modules)
        return StageState(stage, modules, optimizer, schedule)

    def update(self, state: StageState, batches: Iterator[MicroBatch]) -> Update:
        """Make one update over the global batch, from what `batches` gives; nothing in it waits for the device."""
        state.optimizer.zero_grad()
        losses, keys = torch.zeros_like(self.weights), []
        for micro in steps(range(self.accumulation), self._title()):
            micro_batch = next(batches)
            keys += micro_batch.batch.keys
            with ExitStack() as unsynchronised:
                for module in state.modules.present if micro < self.accumulation - 1 else ():
                    unsynchronised.enter_context(self.accelerator.no_sync(module))
                loss = self._losses(state.modules.student, micro_batch) / self.accumulation
                self.accelerator.backward((loss * self.weights).sum())
            losses += loss.detach()
        self._updated = True
        norms = self.parts.gradient_norms()
        limit = state.stage.clip_norm if state.stage.clip_norm is not None else math.inf
        parameters = [parameter for module in state.modules.present for parameter in module.parameters()]
        norms["grad_norm"] = self.accelerator.clip_grad_norm_(parameters, limit)
        state.optimizer.step()
        state.schedule.step()
        return Update(losses, norms, keys)

    def _title(self) -> str:
        """Return what an update is called while it goes on: the first one compiles."""
        compiles = self.recipe.training.compile != "none" and not self._updated
        return "first update, which compiles" if compiles else "update"

    def look_at(self, micro_batch: MicroBatch) -> tuple[Tensor, Tensor]:
        """Return the tower's input [(1 + V) * B, 3, H, W] and the latents [B, c, h, w] of a micro-batch."""
        rgb, latents = micro_batch.images(self.denoiser)
        views = [augmented(rgb, seeds) for seeds in micro_batch.draws.views]
        return self.tower_input.from_rgb(torch.cat([rgb, *views])), latents

    def _losses(self, student: nn.Module, micro_batch: MicroBatch) -> Tensor:
        """Return the loss [S] of each noise sample of a micro-batch."""
        pixels, latents = self.look_at(micro_batch)
        seed_dropout(self.recipe.seed, self._places(micro_batch.batch))
        return feedback(
            student,
            self.denoiser,
            self.objective,
            pixels=pixels,
            latents=latents,
            draws=micro_batch.draws,
            verdicts=micro_batch.batch.verdicts,
        )

    def _draw(self, batch: Batch) -> Draws:
        return draw(
            self.recipe.seed,
            self._places(batch),
            samples=len(self.weights),
            side=self.recipe.data.image_size,
            denoiser=self.denoiser,
            condition=self.student.condition,
            objective=self.objective,
            device=torch.device("cpu"),
        )

    def _places(self, batch: Batch) -> list[int]:
        """Return what seeds each image's draws: its place in the run, or in its process's share."""
        shared = self.recipe.feedback.same_draws_on_every_process
        processes = self.accelerator.num_processes
        return [index // processes if shared else index for index in batch.indices.tolist()]

    def _report(self, metrics: Metrics, stage: str, rate: float, norms: dict[str, Tensor]) -> None:
        losses = self._check_updates()
        values = {
            "loss": float((losses.mean(dim=0) * self.weights.cpu()).sum() / self.weights.cpu().sum()),
            **{f"loss_sample_{number + 1}": loss for number, loss in enumerate(losses.mean(dim=0).tolist())},
            "lr": rate,
            **{key: float(whole(norm)) for key, norm in norms.items()},
            "skipped": self.prefetcher.skipped,
            **self._look(),
        }
        metrics.write(self.step, stage, self.step * self.recipe.training.global_batch, values)

    def _look_due(self) -> bool:
        every = self.recipe.diagnostics.every
        return every is not None and (self.step % every == 0 or self.step == sum(self.stage_steps))

    def _look(self) -> dict[str, Any]:
        """Measure the student where that is due; what is wrong with it goes into the log as well."""
        if not self._look_due() or self.diagnostics is None:
            return {}
        now = self.diagnostics.measure()
        said = warnings(now, self.diagnostics.original_similarity)
        for warning in said if self.accelerator.is_main_process else ():
            logger.warning("step %d: %s", self.step, warning)
        return now._asdict() | ({"warnings": said} if said else {})

    def _check_updates(self) -> Tensor:
        """Return the losses [steps, S] since the last call, averaged over processes.

        They stay on the device until here, so that no step waits for the host. Weights that an update has spoilt
        show in the next one's losses; those of the last update show in the norm of its gradient.

        Raises:
            RunError: one of these is not finite.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return torch.zeros(0, len(self.weights))
        own = torch.stack([update.losses for update in pending])
        losses = self.accelerator.reduce(own, "mean").cpu()
        norm = float(whole(pending[-1].norms["grad_norm"]))
        spoilt = [number for number, found in enumerate(losses) if not found.isfinite().all()]
        if spoilt or not math.isfinite(norm):
            number = spoilt[0] if spoilt else len(pending) - 1
            what = f"the loss is {losses[number].tolist()}" if spoilt else f"the norm of the gradient is {norm}"
            keys = gather_object(pending[number].keys)
            saved = self.run_folder.checkpoints()
            last = f"the last good checkpoint is {saved[-1]}" if saved else "no checkpoint was written before it"
            raise Failed(
                f"step {self.step - len(pending) + number + 1}",
                f"{what}, not a finite number; {last}; the batch was"
                f" {', '.join(keys)}; lower the learning rate or look at these images",
            )
        return losses

    def _save(self, stage: int) -> None:
        parts = gather_object([self.prefetcher.state_dict()])
        position = Position(
            step=self.step, stage=stage, processes=self.accelerator.num_processes, data=merge_states(parts)
        )
        if self.before_checkpoint:  # what a kill in between leaves undone is done again
            self.before_checkpoint()
        keep = self.recipe.training.keep_checkpoints
        save_checkpoint(self.accelerator, self.run_folder, position, keep=keep)
        self._saved = self.step
