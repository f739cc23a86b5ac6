"""Everything the study measures of one tower, on scenes that neither training nor the gates have drawn."""

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn.functional import cosine_similarity

from diva.miniworld.render import render
from diva.miniworld.scene import Scenes, draw, generator
from diva.miniworld.vocabulary import NAMES
from diva.towers import Clip, TowerTokens
from diva_benchmarks.miniworld.gates import pair_accuracies, zero_shot
from diva_benchmarks.miniworld.probes import probe_accuracies

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


class TowerEvaluator:
    """Measures towers that were trained from one original, all on the same scenes."""

    def __init__(self, original: Clip, sizes: Sizes) -> None:
        """Draw the scenes, and read those that drift is measured on with `original`, on the CPU in `eval()`."""
        self._sizes = sizes
        self._scenes = draw(sizes.probed + sizes.pictures, generator(SEED, PROBE_KEY))
        self._before = _encode(original, self._scenes.take(slice(sizes.probed, None))).pooled

    def measure(self, clip: Clip) -> Measured:
        """Measure `clip`, on the CPU in `eval()`."""
        tokens = _encode(clip, self._scenes)
        after = tokens.pooled[self._sizes.probed :]
        return Measured(
            pairs=dict(zip(NAMES, pair_accuracies(clip, SEED, self._sizes.pairs), strict=True)),
            zero_shot=zero_shot(clip, SEED, self._sizes.pictures),
            pooled_probe=self._probe(tokens.pooled),
            patch_probe=self._probe(tokens.patches.flatten(1)),
            drift=(1 - cosine_similarity(after, self._before)).mean().item(),
        )

    def _probe(self, features: Tensor) -> dict[str, float]:
        fitted = self._sizes.probed
        (train, test), (labels, wanted) = (
            (whole[:fitted], whole[fitted:]) for whole in (features, self._scenes.details)
        )
        return dict(zip(NAMES, probe_accuracies(train, labels, test, wanted), strict=True))


@torch.inference_mode()
def _encode(clip: Clip, scenes: Scenes) -> TowerTokens:
    chunks = [scenes.take(slice(at, at + CHUNK)) for at in range(0, scenes.number, CHUNK)]
    read = [clip.tower(clip.input.from_rgb(render(chunk).rgb)) for chunk in chunks]
    return TowerTokens(*(torch.cat(part) for part in zip(*read, strict=True)))
