"""Measuring sets of images and statements with one CLIP model."""

from collections.abc import Mapping, Sequence
from typing import Protocol as Interface

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor

from diva.evaluation.statistics import macro_mean, mean_interval, wilson_interval
from diva.progress import steps
from diva.results import Clock, DataSource, Item, Metric, Result
from diva.towers import Clip, TowerTokens
from diva_benchmarks.encoder import finite
from diva_benchmarks.pair_rule import CATEGORY, Scoring
from diva_benchmarks.pair_set import Pair, PairSet
from diva_benchmarks.protocols import Protocol, pooled
from diva_benchmarks.subject import subject_of

PERCENT = 100.0


class Adaptation(Interface):
    """A protocol that changes a copy of the tower before it is asked.

    Attributes:
        settings: what a result says of it, beside the image feature.
    """

    settings: Mapping[str, str | int | float]

    def __call__(
        self, clip: Clip, pairs: Sequence[Pair], scoring: Scoring, seed: int, *, batch: int
    ) -> NDArray[np.float64]:
        """Return cosines [pairs, statements, images] after adapting to `pairs`; `clip` stays as it is."""


def measure_pairs(
    clip: Clip,
    data: PairSet,
    protocol: Protocol,
    scoring: Scoring,
    *,
    seeds: Sequence[int],
    batch: int,
    device: torch.device,
    adaptation: Adaptation | None = None,
) -> Result:
    """Measure `clip` in float32 on `device`.

    Args:
        clip: a model in `eval()`; it is moved to `device`.
        seeds: one run of a random protocol or of an adaptation each; what draws nothing runs once and records none.
        batch: images that are encoded at once, with their statements; no draw depends on it.
        adaptation: what the tower goes through before it is asked.

    Returns:
        Items are pairs (outcome: the share of seeds that get it right; details: statements, images, the mean
        similarities, and the outcome by each other rule). Metrics are one for each rule, with its interval over
        pairs, and one of the headline for each category, with Wilson's.
    """
    if protocol.features is not pooled:
        clip.tower.require_patches(f"--protocol: {protocol.name}")
    seeds = list(seeds) if protocol.random or adaptation else []
    clock = Clock(seeds, str(device))
    clip.model.to(device)
    if adaptation:
        found = np.stack([adaptation(clip, data.pairs, scoring, seed, batch=batch) for seed in seeds])
    else:
        generators = [Generator().manual_seed(seed) for seed in seeds] or [Generator()]
        found = similarities(clip, data.pairs, protocol, scoring, generators, batch=batch)
    scale = clip.model.get_parameter("logit_scale").exp().item()
    right = {
        name: rule.right(found, scale).astype(np.float64) for name, rule in scoring.rules.items()
    }  # each [runs, pairs]
    categories = [pair.category for pair in data.pairs]
    items = [
        _item(
            data, pair, scoring.headline, {name: float(runs[:, at].mean()) for name, runs in right.items()}, means
        )
        for at, (pair, means) in enumerate(zip(data.pairs, found.mean(0), strict=True))
    ]
    return Result(
        task=scoring.task,
        part=scoring.part,
        headline=scoring.headline,
        settings={"protocol": protocol.name, **(adaptation.settings if adaptation else {})},
        subject=subject_of(clip),
        data=DataSource(
            name=scoring.title, path=str(data.folder), fingerprint=data.fingerprint, items=len(data.pairs)
        ),
        metrics={name: _metric(runs, categories if scoring.by_category else None) for name, runs in right.items()}
        | _by_category(right[scoring.headline], categories, scoring.breakdown),
        items=items,
        run=clock.stop(),
    )


@torch.inference_mode()
def similarities(
    clip: Clip,
    pairs: Sequence[Pair],
    protocol: Protocol,
    scoring: Scoring,
    generators: Sequence[Generator],
    *,
    batch: int,
) -> NDArray[np.float64]:
    """Return the cosines [runs, pairs, statements, images], one run with each generator; images in batches."""
    transform, device = clip.input.image_transform(), next(clip.model.parameters()).device
    texts_each, images_each = len(pairs[0].statements), len(pairs[0].images)
    found = np.empty((len(generators), len(pairs), texts_each, images_each))
    step = max(1, batch // images_each)
    for start in steps(range(0, len(pairs), step), scoring.title):
        chunk = pairs[start : start + step]
        pixels = [transform(image.decode()) for pair in chunk for image in pair.images]
        tokens = clip.tower(torch.stack(pixels).to(device))
        texts = clip.encode_text([scoring.prompt + statement for pair in chunk for statement in pair.statements])
        for embeddings in (*tokens, texts):
            finite(embeddings, clip.source)
        texts = F.normalize(texts, dim=-1).unflatten(0, (len(chunk), texts_each))
        for index in range(len(chunk)):
            here = slice(images_each * index, images_each * (index + 1))
            of_pair = TowerTokens(tokens.pooled[here], tokens.patches[here])
            for run, generator in enumerate(generators):
                matched = _match(of_pair, texts[index], protocol, generator)
                found[run, start + index] = matched.cpu().numpy()
    return found


def _match(tokens: TowerTokens, texts: Tensor, protocol: Protocol, generator: Generator) -> Tensor:
    """Return [statements, images] for the tokens of a pair's images and its texts [statements, D]."""
    features = protocol.features(tokens, generator)
    rows = []
    for number, text in enumerate(texts):
        if number and protocol.redrawn_per_text:
            features = protocol.features(tokens, generator)
        # a sum row by row, since a matrix product may round equal images apart and so decide a tie
        rows.append((features * text).sum(-1))
    return torch.stack(rows)


def _metric(right: NDArray[np.float64], categories: list[str] | None) -> Metric:
    """Return the percentage of `right` [runs, pairs], or the mean of the categories' percentages."""
    outcomes = right.mean(0)
    value = macro_mean(outcomes, categories)
    low, high = mean_interval(outcomes, categories) if categories else wilson_interval(value, len(outcomes))
    spread = _spread([PERCENT * macro_mean(run, categories) for run in right])
    interval = (PERCENT * low, PERCENT * high)
    return Metric(value=PERCENT * value, unit="percent", n=len(outcomes), interval=interval, spread=spread)


def _by_category(right: NDArray[np.float64], categories: list[str], breakdown: str) -> dict[str, Metric]:
    names = np.asarray(categories)
    found = {name: _metric(right[:, names == name], None) for name in dict.fromkeys(categories) if name}
    return {CATEGORY + name: metric.model_copy(update={"breakdown": breakdown}) for name, metric in found.items()}


def _spread(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _item(
    data: PairSet, pair: Pair, headline: str, outcomes: dict[str, float], similarities: NDArray[np.float64]
) -> Item:
    details: dict[str, float | str | list[int]] = {}
    details |= {f"statement{number}": statement for number, statement in enumerate(pair.statements, 1)}
    details |= {f"image{number}": name for number, name in enumerate(pair.image_names(data.folder), 1)}
    details |= {
        f"statement{text + 1}_image{image + 1}": float(similarity)
        for (text, image), similarity in np.ndenumerate(similarities)
    }
    details |= {name: outcome for name, outcome in outcomes.items() if name != headline}
    return Item(id=pair.id, group=pair.category, outcome=outcomes[headline], details=details)
