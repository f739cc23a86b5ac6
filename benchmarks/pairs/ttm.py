"""Test-Time Matching (arXiv 2510.07632): the model trains on the matchings that it is most certain of."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip.loss import ClipLoss, SigLipLoss
from torch import Generator, Tensor
from torch.nn.functional import normalize
from torch.optim.lr_scheduler import CosineAnnealingLR

from diva.progress import steps
from diva.towers import Clip
from diva_benchmarks.measure_pairs import similarities
from diva_benchmarks.options import POOLED
from diva_benchmarks.pair_rule import Scoring
from diva_benchmarks.pair_set import Pair
from diva_benchmarks.pairs.adaptation import ADAPTATION, AdaptiveSettings
from diva_benchmarks.protocols import PROTOCOLS

# the authors' ttm.sh
GROUPS, DECAY, WEIGHT_DECAY, BETAS, LEAST_RATE = 50, 0.95, 0.05, (0.9, 0.999), 0.1

Similarities = NDArray[np.float64]


class Match(NamedTuple):
    """A pair, with the statement that each of its images is taken to show."""

    pair: int
    statements: tuple[int, ...]


def certain(logits: Similarities, threshold: float) -> list[Match]:
    """Return the likeliest matching of each pair whose margin over the second likeliest is at least `threshold`.

    A tie says nothing and is left out, where the authors' code takes it for the true matching.

    Args:
        logits: [pairs, statements, images].
    """
    _, texts, images = logits.shape
    matchings = list(permutations(range(texts), images))
    sums = np.stack([logits[:, chosen, range(images)].sum(1) for chosen in matchings], axis=1)
    second, first = np.sort(sums, axis=1)[:, -2:].T
    sure = np.flatnonzero((first - second >= threshold) & (first > second))
    return [Match(int(pair), matchings[sums[pair].argmax()]) for pair in sure]


class Matching:
    """Rounds of matching and training, by the authors' schedule.

    Attributes:
        settings: as a result names them.
    """

    def __init__(self, *, updates: int, epochs: int, rate: float, threshold: float) -> None:
        """Take the schedule.

        Args:
            updates: rounds; epochs: over the matched pairs in each.
            rate: of AdamW, in the first round; threshold: in the first round, falling to 0 in the last.
        """
        self.settings = {ADAPTATION: "ttm", "updates": updates, "epochs": epochs}
        self.settings |= {"rate": rate, "threshold": threshold}
        self._rounds, self._epochs, self._rate, self._threshold = updates, epochs, rate, threshold

    def __call__(
        self, clip: Clip, pairs: Sequence[Pair], scoring: Scoring, seed: int, *, batch: int
    ) -> Similarities:
        """Return cosines [pairs, statements, images] by both towers after the last round.

        Args:
            clip: on the device; it stays as it is.
            seed: of the order of the pairs.
            batch: images that are encoded at once, where nothing is trained.
        """
        model = copy.deepcopy(clip.model).requires_grad_(True)
        adapted = replace(clip, model=model)

        def measured() -> Similarities:
            return similarities(adapted, pairs, PROTOCOLS[POOLED], scoring, [Generator()], batch=batch)[0]

        optimiser = torch.optim.AdamW(model.parameters(), lr=self._rate, weight_decay=WEIGHT_DECAY, betas=BETAS)
        for number, threshold in enumerate(steps(np.linspace(self._threshold, 0, self._rounds), "matching")):
            scale = model.get_parameter("logit_scale").exp().item()
            matches = certain(scale * measured(), threshold)
            if not matches:
                continue
            for group in optimiser.param_groups:
                group["lr"] = group["initial_lr"] = self._rate * DECAY**number
            total = self._epochs * -(-len(matches) // GROUPS)
            schedule = CosineAnnealingLR(optimiser, total, eta_min=LEAST_RATE * self._rate * DECAY**number)
            random = Generator().manual_seed(seed + number)
            model.train()
            for _ in range(self._epochs):
                for chunk in torch.randperm(len(matches), generator=random).split(GROUPS):
                    optimiser.zero_grad()
                    _loss(adapted, pairs, [matches[place] for place in chunk], scoring.prompt).backward()
                    optimiser.step()
                    schedule.step()
            model.eval()
        return measured()


def _loss(clip: Clip, pairs: Sequence[Pair], matches: Sequence[Match], prompt: str) -> Tensor:
    """Return the model's own contrastive loss over the matched images and statements of a batch."""
    model: Any = clip.model
    transform = clip.input.image_transform()
    scale = model.get_parameter("logit_scale")
    shown = [transform(image.decode()) for match in matches for image in pairs[match.pair].images]
    said = [prompt + pairs[match.pair].statements[text] for match in matches for text in match.statements]
    images = normalize(model.encode_image(torch.stack(shown).to(scale.device)), dim=-1)
    texts = normalize(model.encode_text(clip.tokenizer(said).to(scale.device)), dim=-1)
    if (bias := getattr(model, "logit_bias", None)) is None:
        return ClipLoss()(images, texts, scale.exp())
    return SigLipLoss()(images, texts, scale.exp(), bias)


def load(_settings: AdaptiveSettings, told: Mapping[str, Any], _device: torch.device) -> Matching:
    """Return the protocol; it needs no teacher."""
    return Matching(**told)
