"""The ceiling of what verdicts can teach: the scenes' true details, in the form of a judge's verdicts."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from diva.miniworld.vocabulary import ATTRIBUTES
from diva.towers import Tower, TowerInput
from diva.verdicts.judge import LOGITS, LOSSES
from diva.verdicts.readings import Readings


class Labels:
    """Gives the verdicts of a judge that is always right and sure; takes what `diva.verdicts.judge.Judge` takes."""

    def __init__(
        self,
        details: Mapping[str, Tensor],
        readings: Readings,
        denoiser: Any,  # noqa: ARG002 - it is not asked
        read: Any,  # noqa: ARG002
        tower: Tower,
        tower_input: TowerInput,
        **_: Any,
    ) -> None:
        """Take the true `details` [9] int64 of each image by its name, and what else a judge has."""
        self._details, self._readings = details, readings
        self._tower, self._input = tower, tower_input

    @torch.no_grad()
    def __call__(self, rgb: Tensor, keys: Sequence[str]) -> Tensor:
        """Return what is kept [B, 3, A]: a loss of 1 for the truth, and of 2 for all else."""
        logits = self._readings.logits(self._tower(self._input.from_rgb(rgb)).pooled)
        kept = torch.zeros(len(rgb), 3, logits.shape[1])
        kept[:, LOGITS] = logits
        details = torch.stack([self._details[key] for key in keys])
        for index, attribute in enumerate(ATTRIBUTES):
            span = self._readings.statements.spans.get(attribute.name)
            if span is not None:
                kept[:, LOSSES, span] = 2.0
                kept[:, LOSSES, span].scatter_(1, details[:, index, None], 1.0)
        return kept
