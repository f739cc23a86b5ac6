"""The names of classes as directions in the joint space, by the tower's own text encoder."""

import math
from collections.abc import Sequence

import torch
from mmseg.utils import get_predefined_templates
from open_clip import build_zero_shot_classifier
from torch import Tensor, nn
from torch.nn.functional import normalize

from diva.towers import Clip

TOGETHER = 10  # classes whose prompts are encoded at once


def class_embeddings(clip: Clip, classes: Sequence[str], templates: str) -> Tensor:
    """Return one embedding a class [C, D] of length 1: open_clip's mean over CLIP's prompt templates.

    Args:
        templates: mmseg's name of them, "imagenet" for CLIP's 80 or "vild" for the 14 of scenes.

    Raises:
        InputError: the tower has no text encoder, or its vocabulary is not on this machine.
    """
    prompts = get_predefined_templates(templates)
    columns = build_zero_shot_classifier(clip.model, clip.tokenizer, classes, prompts, TOGETHER)
    return columns.T.float()


class ClassText(nn.Module):
    """Class names for the side adapter: their embeddings, and one that is learned for "none of them"."""

    def __init__(self, clip: Clip, classes: Sequence[str], templates: str) -> None:
        """Encode `classes`; they are no part of the state, so that other classes can be asked for later.

        Raises:
            InputError: as for `class_embeddings`.
        """
        super().__init__()
        embeddings = class_embeddings(clip, classes, templates)
        self.register_buffer("embeddings", embeddings, persistent=False)
        self.scale = math.exp(clip.model.get_parameter("logit_scale").item())
        self.nothing = nn.Parameter(torch.randn(1, embeddings.shape[1]) / embeddings.shape[1] ** 0.5)

    def forward(self) -> Tensor:
        """Return [C + 1, D], "none of them" last, as long as the tower's temperature says."""
        return self.scale * normalize(torch.cat([self.get_buffer("embeddings"), self.nothing]), dim=-1)
