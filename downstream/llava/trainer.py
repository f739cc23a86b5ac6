"""transformers' Trainer with what LLaVA needs besides: its own checkpoints, two rates, batches by length."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.text import Text
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from diva.atomic import discard, replacing
from diva.errors import InputError, RunError
from diva.seal import DamagedError, is_sealed, seal, verify
from diva_downstream.llava.trainable import load_trained, trained_names

WEIGHTS = "trained.safetensors"
CURVES = ("loss", "grad_norm", "learning_rate")


class StageTrainer(Trainer):
    """Trains one stage.

    A checkpoint holds the trained parameters by their names in the running model, and they are loaded strictly. The
    Trainer's own way saves a LLaVA under older names, of which its resume then finds none and continues with the
    initial weights, with no more than a warning. A complete checkpoint is sealed, and only then older ones go.
    """

    def __init__(
        self,
        *,
        lengths: Sequence[int] | None,
        projector_lr: float | None,
        keep: int,
        model: nn.Module,
        **options: Any,
    ) -> None:
        """Take what `Trainer` takes.

        Args:
            lengths: of every sample, to group a batch by; None for a plain shuffle.
            projector_lr: learning rate of the projector, where it is not the others'.
            keep: how many checkpoints stay.
        """
        super().__init__(model=model, **options)
        self._lengths, self._projector_lr, self._keep = lengths, projector_lr, keep

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Return AdamW over what is trained, without weight decay, as LLaVA-1.5 has it."""
        if self.optimizer is None:
            rates = {False: self.args.learning_rate, True: self._projector_lr or self.args.learning_rate}
            groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
            chosen: Any = self.model if model is None else model
            for name, parameter in chosen.named_parameters():
                if parameter.requires_grad:
                    groups["multi_modal_projector" in name].append(parameter)
            described = [{"params": params, "lr": rates[which]} for which, params in groups.items() if params]
            self.optimizer = torch.optim.AdamW(described, lr=self.args.learning_rate, weight_decay=0.0)
        return self.optimizer

    def trained_state(self) -> dict[str, Tensor]:
        """Return what is trained, whole and on the CPU; every process must call it, and process 0 gets it all."""
        model: Any = self.model
        state = self.accelerator.get_state_dict(self.model_wrapped) if self.is_fsdp_enabled else model.state_dict()
        return {name: state[name].cpu().contiguous() for name in trained_names(model) if name in state}

    def _run_epoch(self, *arguments: Any, **options: Any) -> None:
        if self.state.global_step < self.state.max_steps:  # else the Trainer would go one step past a finished run
            super()._run_epoch(*arguments, **options)

    def _get_train_sampler(self, *data: Any) -> Sampler[int] | None:
        if self._lengths is None:
            return super()._get_train_sampler(*data)
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return GroupedByLength(size, self._lengths, self.args.seed)

    def _save_checkpoint(self, *arguments: Any) -> None:
        folder = Path(str(self.args.output_dir))
        written = folder / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        try:
            super()._save_checkpoint(*arguments)
            self.accelerator.wait_for_everyone()  # each process writes the state of its random numbers
            if self.is_world_process_zero():
                seal(written)
        except (OSError, RuntimeError, SafetensorError) as error:  # torch's own, for a full disk, is a RuntimeError
            discard(written)
            reason = str(error).splitlines()[0]
            raise RunError(f"{written}: cannot be written ({reason}); free the disk and --resume") from error
        if self.is_world_process_zero():
            found = _checkpoints(folder)
            place = found.index(written)  # later ones are damaged: the run continued from an earlier one
            for path in found[:place] + found[place + self._keep :]:
                discard(path)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:  # noqa: ARG002
        folder = Path(str(output_dir or self.args.output_dir))
        if not self.is_fsdp_enabled:  # which saves the whole model in shards, by the running model's names
            folder.mkdir(parents=True, exist_ok=True)
            save_file(self.trained_state(), folder / WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        path = Path(resume_from_checkpoint) / WEIGHTS
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        elif path.is_file():
            load_trained(self.model if model is None else model, load_file(path), str(path))
        else:
            raise RunError(
                f"{path}: not found; a run that began with FSDP continues with FSDP, and one without without"
            )


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
            raise RunError(
                f"step {lines[-1]['step']}: the loss is {lines[-1]['loss']}; lower training.lr and --resume"
            )
        if state.is_world_process_zero:
            with replacing(self._path) as temporary:
                temporary.write_text("".join(f"{json.dumps(self._line(entry))}\n" for entry in lines))

    def _line(self, entry: dict[str, Any]) -> dict[str, Any]:
        values = {name: entry[name] for name in CURVES if name in entry}
        if "learning_rate" in values:
            values["lr"] = values.pop("learning_rate")
        return {"step": entry["step"], "stage": self._stage, "images": entry["step"] * self._batch, **values}


def newest_checkpoint(folder: Path, console: Console) -> Path | None:
    """Return the newest whole checkpoint in `folder`, or None where there is none; damaged newer ones are named.

    Raises:
        InputError: every complete one is damaged.
    """
    damaged = None
    for path in _checkpoints(folder):
        if not is_sealed(path):  # a run was stopped while it wrote or removed it
            continue
        try:
            verify(path)
        except DamagedError as error:
            damaged = f"{path}: is damaged ({error})"
            console.print(Text(f"{damaged}; an older checkpoint is used", style="yellow"), soft_wrap=True)
        else:
            return path
    if damaged:
        raise InputError(f"{damaged}, and there is no whole one; remove {folder} to start the run anew")
    return None


def _checkpoints(folder: Path) -> list[Path]:
    """Return the folders of checkpoints, the newest first."""
    numbers = {path: path.name.removeprefix(f"{PREFIX_CHECKPOINT_DIR}-") for path in folder.glob("*-*")}
    found = [path for path, number in numbers.items() if number.isdecimal()]
    return sorted(found, key=lambda path: int(numbers[path]), reverse=True)
