"""Everything the study measures of one tower, on scenes that neither training nor the gates have drawn."""

import itertools

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from diva.miniworld.captions import phrases
from diva.miniworld.render import render
from diva.miniworld.scene import Scenes, draw, generator, other_values
from diva.miniworld.vocabulary import NAMES
from diva.towers import Clip, TowerTokens
from diva_benchmarks.miniworld.gates import pair_accuracies, zero_shot
from diva_benchmarks.miniworld.probes import probe_accuracies

SEED = 7001  # of the test scenes; every tower sees the same
PROBE_KEY, COMPOSITION_KEY = 301, 303
CHUNK = 250


class Sizes(BaseModel):
    """How many scenes one tower is measured on.

    Attributes:
        pairs: of each detail.
        pictures: to classify, and to test probes and drift on.
        probed: to fit the probes to.
        compositions: scenes of which two details are named at once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pairs: int
    pictures: int
    probed: int
    compositions: int = Field(default=0, exclude_if=lambda count: not count)


class Measured(BaseModel):
    """One tower.

    Attributes:
        pairs: pair accuracy in percent of each detail.
        zero_shot: accuracy in percent over shape and place.
        pooled_probe, patch_probe: accuracy in percent of a linear probe of each detail.
        drift: 1 - cosine between pooled embeddings and the original tower's, mean over the test scenes.
        compositions: accuracy in percent of choosing among four statements that name two details at once; by chance
            25. Null where the plan does not ask for it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pairs: dict[str, float]
    zero_shot: float
    pooled_probe: dict[str, float]
    patch_probe: dict[str, float]
    drift: float
    compositions: float | None = None


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
            compositions=compositions(clip, SEED, self._sizes.compositions) if self._sizes.compositions else None,
        )

    def _probe(self, features: Tensor) -> dict[str, float]:
        fitted = self._sizes.probed
        (train, test), (labels, wanted) = (
            (whole[:fitted], whole[fitted:]) for whole in (features, self._scenes.details)
        )
        return dict(zip(NAMES, probe_accuracies(train, labels, test, wanted), strict=True))


@torch.inference_mode()
def compositions(clip: Clip, seed: int, count: int) -> float:
    """Return the accuracy in percent of choosing among four statements for each of `count` scenes.

    Each names two of the scene's details, drawn at random, at once: both right, either one wrong, or both.
    """
    random = generator(seed, COMPOSITION_KEY)
    scenes = draw(count, random)
    named = torch.rand(scenes.details.shape, generator=random).argsort(1)[:, :2]
    changed = scenes.details.clone()
    for index in range(changed.shape[1]):
        changed[:, index] = other_values(scenes, index, random)
    mentioned = torch.zeros_like(scenes.details, dtype=torch.bool).scatter(1, named, True)
    embedded = []
    for wrong in itertools.product((False, True), repeat=2):
        exchanged = torch.zeros_like(mentioned).scatter(1, named, torch.tensor(wrong).expand(count, 2))
        told = scenes._replace(details=torch.where(exchanged, changed, scenes.details))
        embedded.append(normalize(clip.encode_text([f"a photo of {text}" for text in phrases(told, mentioned)])))
    image = normalize(_encode(clip, scenes).pooled)
    chosen = torch.einsum("nd,and->na", image, torch.stack(embedded)).argmax(1)
    return 100 * (chosen == 0).float().mean().item()


@torch.inference_mode()
def _encode(clip: Clip, scenes: Scenes) -> TowerTokens:
    chunks = [scenes.take(slice(at, at + CHUNK)) for at in range(0, scenes.number, CHUNK)]
    read = [clip.tower(clip.input.from_rgb(render(chunk).rgb)) for chunk in chunks]
    return TowerTokens(*(torch.cat(part) for part in zip(*read, strict=True)))
