"""Asking a LLaVA a benchmark's questions, by lm-eval."""

from pathlib import Path

import torch

from diva.errors import NotInstalled, install
from diva.towers.quiet import quiet
from diva_downstream.llava.evaluation.scored import Answered
from diva_downstream.llava.formats.loading import load_image_processor

try:
    from lm_eval import evaluate
    from lm_eval.models.hf_vlms import HFMultimodalLM
    from lm_eval.tasks import TaskManager
except ImportError as error:
    raise NotInstalled("diva llava eval", f"needs lm-eval ({error}); {install('llava')}") from error

TASKS = Path(__file__).parents[1] / "tasks"
UNCUT = 2**20  # tokens: lm-eval cuts longer prompts at their left, which would go through the image


class Answerer:
    """A LLaVA that answers greedily, in float32 on a CPU and in its folder's precision elsewhere."""

    def __init__(self, folder: Path, *, batch: int, device: torch.device) -> None:
        """Load the folder's model and processor.

        Args:
            batch: questions that are answered at once.
        """
        with quiet("lm_eval"), quiet("transformers"):
            self._model = HFMultimodalLM(
                pretrained=str(folder),
                dtype="float32" if device.type == "cpu" else "auto",
                batch_size=batch,
                device=str(device),
                max_length=UNCUT,
            )
        self._model.processor.image_processor = load_image_processor(folder)  # the one of training

    @property
    def language_model(self) -> str:
        """The language model's architecture and size, such as "llama 6.7B"."""
        model = self._model.model.model.language_model
        count = sum(parameter.numel() for parameter in model.parameters())
        size = f"{count / 1e9:.1f}B" if count >= 1e9 else f"{count / 1e6:.3g}M"
        return f"{model.config.model_type} {size}"

    def ask(self, task: str, *, data: Path, first: int | None) -> list[Answered]:
        """Return the answers to the questions of `task` below the folder `data`, in its order.

        Args:
            first: how many questions, with all their rotations, or pairs are asked; None for all.

        Raises:
            InputError: the data cannot be used.
        """
        with quiet("lm_eval"):
            manager = TaskManager(
                include_path=TASKS, include_defaults=False, metadata={"data": str(data), "first": first}
            )
            # not simple_evaluate, which spends seconds on describing the machine each time
            outcome = evaluate(
                lm=self._model,
                task_dict=manager.load([task]),
                apply_chat_template=True,
                bootstrap_iters=0,
                log_samples=True,
            )
        samples = sorted(outcome["samples"][task], key=lambda sample: sample["doc_id"])
        return [Answered(sample["doc"], sample["filtered_resps"][0].strip()) for sample in samples]
