"""Asking a LLaVA a benchmark's questions, by lm-eval."""

from collections.abc import Callable
from pathlib import Path

import torch

from diva.errors import NotInstalled, install
from diva.towers.quiet import quiet
from diva_downstream.llava.evaluation.scored import Answered
from diva_downstream.llava.formats.loading import load_image_processor

try:
    from lm_eval import evaluate
    from lm_eval.api.model import LM
    from lm_eval.models.hf_vlms import HFMultimodalLM
    from lm_eval.tasks import TaskManager
except ImportError as error:
    raise NotInstalled("diva llava eval", f"needs lm-eval ({error}); {install('llava')}") from error

TASKS = Path(__file__).parents[1] / "tasks"
UNCUT = 2**20  # tokens: lm-eval cuts longer prompts at their left, which would go through the image


class Answerer:
    """Asks a model of lm-eval, which answers greedily."""

    def __init__(self, model: LM) -> None:
        """Take one of `by_transformers` or `by_vllm`, or one that is served."""
        self._model = model

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


def by_transformers(folder: Path, *, batch: int, device: torch.device) -> LM:
    """Return the LLaVA in `folder`, in float32 on a CPU and in its folder's precision elsewhere.

    Args:
        batch: questions that are answered at once.
    """
    with quiet("lm_eval"), quiet("transformers"):
        model = HFMultimodalLM(
            pretrained=str(folder),
            dtype="float32" if device.type == "cpu" else "auto",
            batch_size=batch,
            device=str(device),
            max_length=UNCUT,
        )
    model.processor.image_processor = load_image_processor(folder)  # the one of training
    return model


def by_vllm(batch: int) -> Callable[[Path], LM]:
    """Return what loads a folder on vLLM's engine, which prepares images by transformers' default back end.

    Raises:
        InputError: vLLM, or what lm-eval needs beside it, is not installed.
    """
    try:
        from lm_eval.models.vllm_vlms import VLLM_VLM
    except ImportError as error:
        raise NotInstalled("--backend vllm", f"needs vllm and ray ({error}); pip install vllm ray") from error
    return lambda folder: VLLM_VLM(pretrained=str(folder), batch_size=batch)
