"""How far a training by transformers' Trainer is, said as everywhere else."""

from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from diva.progress import Phase, phase
from diva.run_folder import step_of


def train_shown(trainer: Trainer, latest: Path | None = None) -> None:
    """Train from the checkpoint `latest`, or from the start; `trainer` has `disable_tqdm`, so no bar of its own."""
    trainer.remove_callback(PrinterCallback)
    with phase("updates", done=step_of(latest) if latest else 0) as shown:
        trainer.add_callback(_Shown(shown))
        trainer.train(resume_from_checkpoint=str(latest) if latest else None)


class _Shown(TrainerCallback):
    def __init__(self, shown: Phase) -> None:
        self._shown = shown

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *_: Any, **__: Any) -> None:  # noqa: ARG002
        self._shown.total = state.max_steps

    def on_step_end(self, args: TrainingArguments, state: TrainerState, *_: Any, **__: Any) -> None:  # noqa: ARG002
        self._shown.done = state.global_step

    def on_log(self, args: TrainingArguments, state: TrainerState, *_: Any, **__: Any) -> None:  # noqa: ARG002
        if "loss" in state.log_history[-1]:
            self._shown.note = f"loss {state.log_history[-1]['loss']:.4f}"
