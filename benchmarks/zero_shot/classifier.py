"""Class names and templates as a linear classifier."""

import torch
from open_clip import build_zero_shot_classifier
from torch import Tensor

from diva.progress import steps
from diva_benchmarks.encoder import Encoder
from diva_benchmarks.fingerprint import hash_lines
from diva_benchmarks.zero_shot.prompts import Prompts

TOGETHER = 10  # classes whose prompts are encoded at once: open_clip's own number


def zero_shot_classifier(encoder: Encoder, prompts: Prompts, title: str) -> Tensor:
    """Return one column for each class [D, C], of length 1, float32 on the CPU.

    It is open_clip's: the mean of the normalised embeddings of all templates, normalised again. Towers that share
    their text tower share it.
    """

    def compute() -> Tensor:
        starts = range(0, len(prompts.classes), TOGETHER)
        columns = [
            build_zero_shot_classifier(
                encoder.clip.model,
                encoder.clip.tokenizer,
                prompts.classes[start : start + TOGETHER],
                prompts.functions,
                device=encoder.device,
            )
            for start in steps(starts, f"{title}, classes")
        ]
        return torch.cat(columns, dim=1).cpu()

    origin = hash_lines([encoder.text_hash(prompts.classes), *prompts.templates])
    what = f"{title}: text classifier of {encoder.clip.source}"
    return encoder.cache.get("classifier", encoder.text_tower, origin, what, compute)
