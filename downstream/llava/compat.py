"""transformers' Trainer with public hooks in place of the private ones that a stage needs; tried with 5.23."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor, nn
from torch.utils.data import Sampler
from transformers import Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from diva.atomic import discard
from diva.errors import WriteFailed, first_line
from diva.progress import phase


class HookedTrainer(Trainer):
    """A Trainer that says what it saves and loads, and in which order it takes its data."""

    def save_weights(self, folder: Path) -> None:
        """Save the model's weights into `folder`; called by the process that saves."""
        super()._save(str(folder))

    def load_weights(self, model: nn.Module, checkpoint: Path) -> None:
        """Fill `model` from `checkpoint`."""
        super()._load_from_checkpoint(str(checkpoint), model)

    def checkpoint_saved(self, checkpoint: Path) -> None:
        """Do what is to be done with a complete checkpoint; called by the first process."""

    def train_sampler(self) -> Sampler[int] | None:
        """Return the order of the data, or None for the Trainer's own."""
        return None

    def _run_epoch(self, *arguments: Any, **options: Any) -> None:
        if self.state.global_step < self.state.max_steps:  # else the Trainer would go one step past a finished run
            super()._run_epoch(*arguments, **options)

    def _get_train_sampler(self, *data: Any) -> Sampler[int] | None:
        return self.train_sampler() or super()._get_train_sampler(*data)

    def _save_checkpoint(self, *arguments: Any) -> None:
        written = Path(str(self.args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        try:
            with phase("writing a checkpoint"):
                super()._save_checkpoint(*arguments)
                self.accelerator.wait_for_everyone()  # each process writes the state of its random numbers
                if self.is_world_process_zero():
                    self.checkpoint_saved(written)
        except (OSError, RuntimeError, SafetensorError) as error:  # torch's own, for a full disk, is a RuntimeError
            discard(written)
            reason = first_line(error)
            raise WriteFailed(written, f"cannot be written ({reason}); free the disk and --resume") from error

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:  # noqa: ARG002
        self.save_weights(Path(str(output_dir or self.args.output_dir)))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        chosen: Any = self.model if model is None else model
        self.load_weights(chosen, Path(resume_from_checkpoint))
