"""Everything the study measures of one tower, on scenes that neither training nor the gates have drawn."""

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn.functional import cosine_similarity

from benchmarks.miniworld.probes import probe_accuracy
from diva.miniworld.gates import pair_accuracies, zero_shot
from diva.miniworld.render import render
from diva.miniworld.scene import draw, generator
from diva.miniworld.vocabulary import NAMES
from diva.towers import Clip, TowerTokens

SEED = 7001  # of the test scenes; every tower sees the same
PROBE_KEY = 301
CHUNK = 250


class Sizes(BaseModel):
    """How many scenes one tower is measured on.

    Attributes:
        pairs: of each detail.
        pictures: to classify, and to test probes and drift on.
        probed: to fit the probes to.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pairs: int
    pictures: int
    probed: int


class Measured(BaseModel):
    """One tower.

    Attributes:
        pairs: pair accuracy in percent of each detail.
        zero_shot: accuracy in percent over shape and place.
        pooled_probe, patch_probe: accuracy in percent of a linear probe of each detail.
        drift: 1 - cosine between pooled embeddings and the original tower's, mean over the test scenes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pairs: dict[str, float]
    zero_shot: float
    pooled_probe: dict[str, float]
    patch_probe: dict[str, float]
    drift: float


def measure(clip: Clip, original: Clip, sizes: Sizes) -> Measured:
    """Measure `clip`, which was trained from `original`; both on the CPU in `eval()`."""
    fitted = sizes.probed
    scenes = draw(fitted + sizes.pictures, generator(SEED, PROBE_KEY))
    pictures = [render(scenes.take(slice(at, at + CHUNK))).rgb for at in range(0, scenes.number, CHUNK)]
    tokens, before = _encode(clip, pictures), _encode(original, pictures)
    pooled, patches = tokens.pooled, tokens.patches.flatten(1)

    def probe(features: Tensor) -> dict[str, float]:
        return {
            name: probe_accuracy(features[:fitted], labels[:fitted], features[fitted:], labels[fitted:])
            for name, labels in zip(NAMES, scenes.details.T, strict=True)
        }

    return Measured(
        pairs=dict(zip(NAMES, pair_accuracies(clip, SEED, sizes.pairs), strict=True)),
        zero_shot=zero_shot(clip, SEED, sizes.pictures),
        pooled_probe=probe(pooled),
        patch_probe=probe(patches),
        drift=(1 - cosine_similarity(pooled[fitted:], before.pooled[fitted:])).mean().item(),
    )


@torch.inference_mode()
def _encode(clip: Clip, pictures: list[Tensor]) -> TowerTokens:
    read = [clip.tower(clip.input.from_rgb(rgb)) for rgb in pictures]
    return TowerTokens(*(torch.cat(part) for part in zip(*read, strict=True)))
