"""transformers' Trainer with what LLaVA needs besides: its own checkpoints, rates by part, batches by length."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler

from diva.atomic import discard, replacing
from diva.errors import Failed
from diva.run_folder import MetricsLine, RunFolder
from diva.seal import seal, strangers
from diva_downstream.llava.compat import HookedTrainer
from diva_downstream.llava.trainable import load_trained, trained_names

WEIGHTS = "trained.safetensors"
CURVES = ("loss", "grad_norm", "learning_rate")


class StageTrainer(HookedTrainer):
    """Trains one stage.

    A checkpoint holds the trained parameters by their names in the running model, and they are loaded strictly. The
    Trainer's own way saves a LLaVA under older names, of which its resume then finds none and continues with the
    initial weights, with no more than a warning. A complete checkpoint is sealed, and only then older ones go.
    """

    def __init__(
        self,
        *,
        lengths: Sequence[int] | None,
        rates: Mapping[str, float],
        keep: int,
        model: nn.Module,
        **options: Any,
    ) -> None:
        """Take what `Trainer` takes.

        Args:
            lengths: of every sample, to group a batch by; None for a plain shuffle.
            rates: learning rates of parts, by what the names of their parameters hold.
            keep: how many checkpoints stay.
        """
        super().__init__(model=model, **options)
        self._lengths, self._rates, self._keep = lengths, rates, keep

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Return AdamW over what is trained, without weight decay, as LLaVA-1.5 has it."""
        if self.optimizer is None:
            groups: dict[str, list[nn.Parameter]] = {part: [] for part in (*self._rates, "")}
            chosen: Any = self.model if model is None else model
            for name, parameter in chosen.named_parameters():
                if parameter.requires_grad:
                    groups[next((part for part in self._rates if part in name), "")].append(parameter)
            rate = self.args.learning_rate
            described = [
                {"params": params, "lr": self._rates.get(part, rate)} for part, params in groups.items() if params
            ]
            self.optimizer = torch.optim.AdamW(described, lr=self.args.learning_rate, weight_decay=0.0)
        return self.optimizer

    def trained_state(self) -> dict[str, Tensor]:
        """Return what is trained, whole and on the CPU; every process must call it, and process 0 gets it all."""
        model: Any = self.model
        state = self.accelerator.get_state_dict(self.model_wrapped) if self.is_fsdp_enabled else model.state_dict()
        return {name: state[name].cpu().contiguous() for name in trained_names(model) if name in state}

    def train_sampler(self) -> Sampler[int] | None:
        """Return batches of about equal lengths, where that is asked for."""
        if self._lengths is None:
            return None
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return GroupedByLength(size, self._lengths, self.args.seed)

    def checkpoint_saved(self, checkpoint: Path) -> None:
        """Seal the checkpoint, and drop older ones but for the newest few."""
        seal(checkpoint)
        found = RunFolder(checkpoint.parents[1]).checkpoints()
        end = found.index(checkpoint) + 1  # later ones are damaged: the run continued from an earlier one
        for path in found[: max(0, end - self._keep)] + found[end:]:
            if not strangers(path):
                discard(path)

    def save_weights(self, folder: Path) -> None:
        """Save what is trained; FSDP saves the whole model in shards instead, by the running model's names."""
        if not self.is_fsdp_enabled:
            folder.mkdir(parents=True, exist_ok=True)
            save_file(self.trained_state(), folder / WEIGHTS)

    def load_weights(self, model: nn.Module, checkpoint: Path) -> None:
        """Load what is trained.

        Raises:
            RunError: the checkpoint was written with FSDP and this run is without, or the other way round.
        """
        path = checkpoint / WEIGHTS
        if self.is_fsdp_enabled:
            super().load_weights(model, checkpoint)
        elif path.is_file():
            load_trained(model, load_file(path), str(path))
        else:
            raise Failed(path, "not found; a run that began with FSDP continues with FSDP, and one without without")


class GroupedByLength(LengthGroupedSampler):
    """Random batches of about equal lengths, anew in every epoch and the same again when a run is resumed."""

    def __init__(self, batch: int, lengths: Sequence[int], seed: int) -> None:
        """Take the conversations of an update on one process, the length of each one, and the seed."""
        super().__init__(batch, lengths=list(lengths), generator=torch.Generator())
        self._seed = seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of `epoch` next."""
        self.generator.manual_seed(self._seed + epoch)


class Curves(TrainerCallback):
    """Writes `metrics.jsonl` as the report reads it, and stops a run whose loss is no number."""

    def __init__(self, path: Path, stage: str, batch: int) -> None:
        """Take the file, the stage's name and the images of an update."""
        self._path, self._stage, self._batch = path, stage, batch

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        """Write everything that was logged so far; a resumed run begins with what its checkpoint knew."""
        lines = [entry for entry in state.log_history if "loss" in entry]
        if lines and not math.isfinite(lines[-1]["loss"]):
            raise Failed(
                f"step {lines[-1]['step']}", f"the loss is {lines[-1]['loss']}; lower training.lr and --resume"
            )
        if state.is_world_process_zero:
            with replacing(self._path) as temporary:
                temporary.write_text("".join(f"{self._line(entry)}\n" for entry in lines))

    def _line(self, entry: dict[str, Any]) -> str:
        values = {name: entry[name] for name in CURVES if name in entry}
        if "learning_rate" in values:
            values["lr"] = values.pop("learning_rate")
        line = MetricsLine(step=entry["step"], stage=self._stage, images=entry["step"] * self._batch, **values)
        return line.model_dump_json(exclude_unset=True)
