"""The loop: feedback, backward, step; and everything that lets it stop and go on."""

import logging
import math
from contextlib import nullcontext
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from diva.data import Batch, Loader, merge_states, to_unit_range
from diva.denoisers import Denoiser
from diva.errors import RunError
from diva.feedback import Objective, feedback
from diva.recipes.schema import Recipe, Stage
from diva.towers.preprocess import TowerInput
from diva.training.checkpoints import checkpoints, read_position, save_checkpoint
from diva.training.diagnostics import Diagnostics, warnings
from diva.training.draws import draw
from diva.training.metrics import Metrics
from diva.training.optimisation import build_optimizer, build_schedule, gradient_norm
from diva.training.student import Student

logger = logging.getLogger("diva.training")


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
        folder: Path,
    ) -> None:
        """Bring the parts together.

        Args:
            recipe: the resolved recipe.
            accelerator: places and distributes; nothing here calls torch.distributed.
            student, denoiser, objective, tower_input, loader: the parts, built from the recipe.
            diagnostics: measures the student now and then, on the main process alone.
            stage_steps: updates of each stage.
            folder: the run's folder; checkpoints and metrics go there.
        """
        self.recipe, self.accelerator, self.folder = recipe, accelerator, folder
        self.student, self.denoiser, self.objective = student, denoiser, objective
        self.tower_input, self.loader = tower_input, loader
        self.diagnostics, self.stage_steps = diagnostics, stage_steps
        training = recipe.training
        self.accumulation = training.global_batch // (training.micro_batch * accelerator.num_processes)
        self.ema = (
            AveragedModel(student.tower, multi_avg_fn=get_ema_multi_avg_fn(training.ema_decay))
            if training.ema_decay is not None
            else None
        )
        if self.ema:
            accelerator.register_for_checkpointing(self.ema)
        weights = recipe.feedback.sample_weights
        samples = recipe.feedback.samples_per_image
        self.weights = torch.tensor(weights or [1 / samples] * samples, device=accelerator.device)
        self.step = 0
        self.stop_requested = False
        self._pending: list[tuple[Tensor, list[str]]] = []

    def run(self, resume: Path | None) -> bool:
        """Train until the last stage is done (returns True) or a stop is requested (returns False)."""
        position = read_position(resume) if resume else None
        self.step = position["step"] if position else 0
        if position:
            self.loader.load_state_dict(position["data"])
        first = position["stage"] if position else 0
        path, total = self.folder / "metrics.jsonl", sum(self.stage_steps)
        with Metrics(self.accelerator, path, total=total, start=self.step) as metrics:
            for number in range(first, len(self.stage_steps)):
                if not self._run_stage(number, metrics, resume if number == first else None):
                    return False
        return True

    def _run_stage(self, number: int, metrics: Metrics, resume: Path | None) -> bool:
        stage, training = self.recipe.stages[number], self.recipe.training
        end = sum(self.stage_steps[: number + 1])
        name = f"stage {number + 1}/{len(self.stage_steps)}"
        self.student.select(stage.train)
        trained = [parameter for parameter in self.student.parameters() if parameter.requires_grad]
        optimizer = build_optimizer(stage.optimizer, trained)
        schedule = build_schedule(stage, optimizer, self.stage_steps[number])
        student, optimizer, schedule = self.accelerator.prepare(self.student, optimizer, schedule)
        if resume:
            self.accelerator.load_state(str(resume))
        while self.step < end and not self._must_stop():
            rate = schedule.get_last_lr()[0]
            norms = self._update(student, optimizer, stage)
            schedule.step()
            if self.ema and "tower" in stage.train:
                self.ema.update_parameters(self.student.tower)
            self.step += 1
            due = self.step % training.checkpoint_every == 0 or self.step == sum(self.stage_steps)
            if self.step % training.log_every == 0 or due or self._look_due():
                self._report(metrics, name, rate, norms)
            if due:
                self._save(number)
        if self.step < end:
            self._check_losses()
            self._save(number)
        self.accelerator.unwrap_model(student, keep_fp32_wrapper=False)
        self.accelerator.free_memory()
        return self.step >= end

    def _update(self, student: nn.Module, optimizer: torch.optim.Optimizer, stage: Stage) -> dict[str, Tensor]:
        """Make one update over the global batch; return gradient norms before clipping, still on the device."""
        optimizer.zero_grad()
        losses, keys = torch.zeros_like(self.weights), []
        for micro in range(self.accumulation):
            batch = next(self.loader)
            keys += batch.keys
            last = micro == self.accumulation - 1
            with nullcontext() if last else self.accelerator.no_sync(student):
                loss = self._losses(student, batch) / self.accumulation
                self.accelerator.backward((loss * self.weights).sum())
            losses += loss.detach()
        self._pending.append((losses, keys))
        norms = {f"grad_norm_{name}": gradient_norm(part) for name, part in self.student.parts().items()}
        limit = stage.clip_norm if stage.clip_norm is not None else math.inf
        norms["grad_norm"] = self.accelerator.clip_grad_norm_(student.parameters(), limit)
        optimizer.step()
        return norms

    def _losses(self, student: nn.Module, batch: Batch) -> Tensor:
        """Return the loss [S] of each noise sample of a micro-batch."""
        device = self.accelerator.device
        rgb = to_unit_range(batch.pixels.to(device, non_blocking=True))
        latents = self.denoiser.encode(rgb)
        shared = self.recipe.feedback.same_draws_on_every_process
        processes = self.accelerator.num_processes
        draws = draw(
            self.recipe.seed,
            [index // processes if shared else index for index in batch.indices.tolist()],
            samples=len(self.weights),
            timesteps=self.denoiser.timesteps,
            latent_shape=latents.shape[1:],
            condition=self.student.condition,
            device=device,
        )
        pixels = self.tower_input.from_rgb(rgb)
        return feedback(student, self.denoiser, self.objective, pixels=pixels, latents=latents, draws=draws)

    def _report(self, metrics: Metrics, stage: str, rate: float, norms: dict[str, Tensor]) -> None:
        losses = self._check_losses()
        values = {
            "loss": float((losses.mean(dim=0) * self.weights.cpu()).sum() / self.weights.cpu().sum()),
            **{f"loss_sample_{number + 1}": loss for number, loss in enumerate(losses.mean(dim=0).tolist())},
            "lr": rate,
            **{key: float(norm) for key, norm in norms.items()},
            "skipped": self.loader.skipped,
            **self._look(),
        }
        metrics.write(self.step, stage, self.step * self.recipe.training.global_batch, values)

    def _look_due(self) -> bool:
        every = self.recipe.diagnostics.every
        return every is not None and (self.step % every == 0 or self.step == sum(self.stage_steps))

    def _look(self) -> dict[str, float]:
        """Measure the student where that is due; what is wrong with it goes into the log."""
        if not self._look_due() or self.diagnostics is None:
            return {}
        now = self.diagnostics.measure()
        for warning in warnings(now, self.diagnostics.original_similarity):
            logger.warning("step %d: %s", self.step, warning)
        return now._asdict()

    def _check_losses(self) -> Tensor:
        """Return the losses [steps, S] since the last call, averaged over processes.

        The losses stay on the device until here, so that no step waits for the host.

        Raises:
            RunError: one of them is not finite.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return torch.zeros(0, len(self.weights))
        own = torch.stack([losses for losses, _ in pending])
        losses = self.accelerator.reduce(own, "mean").cpu()
        bad = (~losses.isfinite()).any(dim=1).nonzero().flatten().tolist()
        if bad:
            step = self.step - len(pending) + bad[0] + 1
            keys = gather_object(pending[bad[0]][1])
            saved = checkpoints(self.folder / "checkpoints")
            last = f"the last good checkpoint is {saved[-1]}" if saved else "no checkpoint was written before it"
            raise RunError(
                f"step {step}: the loss is {losses[bad[0]].tolist()}, not a finite number; {last}; the batch was"
                f" {', '.join(keys)}; lower the learning rate or look at these images"
            )
        return losses

    def _save(self, stage: int) -> None:
        parts = gather_object([self.loader.state_dict()])
        position = {"step": self.step, "stage": stage, "data": merge_states(parts)}
        folder, keep = self.folder / "checkpoints", self.recipe.training.keep_checkpoints
        save_checkpoint(self.accelerator, folder, self.step, position, keep=keep)

    def _must_stop(self) -> bool:
        """Whether a stop was requested; every process gives the same answer at the same step."""
        if self.accelerator.num_processes == 1:
            return self.stop_requested
        if self.step % self.recipe.training.log_every:
            return False
        requested = torch.tensor(float(self.stop_requested), device=self.accelerator.device)
        return bool(self.accelerator.reduce(requested, "sum") > 0)
