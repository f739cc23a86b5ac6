"""Measuring one CLIP model on MMVP-VLM."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Generator, Tensor

from diva.evaluation.statistics import macro_mean, mean_interval, wilson_interval
from diva.progress import steps
from diva.results import Clock, DataSource, Item, Metric, Result
from diva.towers import Clip, TowerTokens
from diva_benchmarks.encoder import finite
from diva_benchmarks.mmvp_vlm.dataset import NAME, MmvpVlm, Pair
from diva_benchmarks.mmvp_vlm.protocols import Protocol, pooled
from diva_benchmarks.pair_rule import pairs_right
from diva_benchmarks.stored_image import StoredImage
from diva_benchmarks.subject import subject_of

TASK = "mmvp-vlm"
AVERAGE = "average"
PROMPT = "a photo of "
CATEGORY = "category/"
PATTERN = "visual pattern"


def evaluate(
    clip: Clip,
    data: MmvpVlm,
    protocol: Protocol,
    *,
    seeds: Sequence[int],
    batch: int,
    device: torch.device,
) -> Result:
    """Measure `clip` in float32 on `device`.

    Args:
        clip: a model in `eval()`; it is moved to `device`.
        seeds: one run of a random protocol each; a deterministic protocol runs once and records none.
        batch: images, and statements, that are encoded at once (2 at least); no draw depends on it.

    Returns:
        Items are pairs (outcome: the share of seeds that get it right; details: statements, images and the
        mean similarities). Metrics are `average`, with the stratified bootstrap interval, and one
        `category/<title>` each, with Wilson's interval.
    """
    if protocol.features is not pooled:
        clip.tower.require_patches(f"--protocol: {protocol.name}")
    seeds = list(seeds) if protocol.random else []
    clock = Clock(seeds, str(device))
    clip.model.to(device)
    generators = [Generator().manual_seed(seed) for seed in seeds] or [Generator()]
    similarities = _similarities(clip, data.pairs, protocol, generators=generators, batch=batch)
    right = pairs_right(similarities, clip.model.get_parameter("logit_scale").exp().item())
    return Result(
        task=TASK,
        headline=AVERAGE,
        settings={"protocol": protocol.name},
        subject=subject_of(clip),
        data=DataSource(name=NAME, path=str(data.folder), fingerprint=data.fingerprint, items=len(data.pairs)),
        metrics=_metrics(right.astype(np.float64), [pair.category for pair in data.pairs]),
        items=[
            _item(data, *columns) for columns in zip(data.pairs, right.mean(0), similarities.mean(0), strict=True)
        ],
        run=clock.stop(),
    )


def category_percentages(outcomes: ArrayLike, categories: Sequence[str]) -> dict[str, float]:
    """Return the percentage of right pairs of each category, in order of first appearance.

    Args:
        outcomes: [P], 1 right, 0 wrong, or a share over several draws.
        categories: the category of each of the P pairs.
    """
    values, names = np.asarray(outcomes, dtype=np.float64), np.asarray(categories)
    return {name: 100 * float(values[names == name].mean()) for name in dict.fromkeys(categories)}


def average_percentage(outcomes: ArrayLike, categories: Sequence[str]) -> float:
    """Return the mean of the categories' percentages, the figure that the papers report."""
    return 100 * macro_mean(outcomes, categories)


@torch.inference_mode()
def _similarities(
    clip: Clip,
    pairs: Sequence[Pair],
    protocol: Protocol,
    *,
    generators: Sequence[Generator],
    batch: int,
) -> NDArray[np.float64]:
    """Return [runs, pairs, 2 statements, 2 images]."""
    transform, device = clip.input.image_transform(), next(clip.model.parameters()).device
    found = np.empty((len(generators), len(pairs), 2, 2))
    step = max(1, batch // 2)
    for start in steps(range(0, len(pairs), step), NAME):
        chunk = pairs[start : start + step]
        images = [transform(StoredImage(path).decode()) for pair in chunk for path in pair.images]
        tokens = clip.tower(torch.stack(images).to(device))
        texts = clip.encode_text([PROMPT + statement for pair in chunk for statement in pair.statements])
        for embeddings in (*tokens, texts):
            finite(embeddings, clip)
        texts = F.normalize(texts, dim=-1)
        for index in range(len(chunk)):
            both = slice(2 * index, 2 * index + 2)
            of_pair = TowerTokens(tokens.pooled[both], tokens.patches[both])
            for run, generator in enumerate(generators):
                matched = _match(of_pair, texts[both], protocol, generator)
                found[run, start + index] = matched.cpu().numpy()
    return found


def _match(tokens: TowerTokens, texts: Tensor, protocol: Protocol, generator: Generator) -> Tensor:
    """Return [2 statements, 2 images] for the tokens of two images and two texts [2, D]."""
    first = protocol.features(tokens, generator)
    second = protocol.features(tokens, generator) if protocol.redrawn_per_text else first
    # a sum row by row, since a matrix product may round equal images apart and so decide a tie
    return torch.stack([(first * texts[0]).sum(-1), (second * texts[1]).sum(-1)])


def _metrics(right: NDArray[np.float64], categories: list[str]) -> dict[str, Metric]:
    """Return the metrics of `right` [runs, pairs]."""
    outcomes = right.mean(0)
    low, high = mean_interval(outcomes, categories)
    metrics = {
        AVERAGE: Metric(
            value=average_percentage(outcomes, categories),
            unit="percent",
            n=len(categories),
            interval=(100 * low, 100 * high),
            spread=_spread([average_percentage(run, categories) for run in right]),
        )
    }
    by_run = [category_percentages(run, categories) for run in right]
    for name, value in category_percentages(outcomes, categories).items():
        n = categories.count(name)
        low, high = wilson_interval(value / 100, n)
        metrics[CATEGORY + name] = Metric(
            value=value,
            unit="percent",
            n=n,
            interval=(100 * low, 100 * high),
            spread=_spread([run[name] for run in by_run]),
            breakdown=PATTERN,
        )
    return metrics


def _spread(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _item(data: MmvpVlm, pair: Pair, outcome: float, similarities: NDArray[np.float64]) -> Item:
    details: dict[str, float | str | list[int]] = {}
    for text in (0, 1):
        details[f"statement{text + 1}"] = pair.statements[text]
        details[f"image{text + 1}"] = pair.images[text].relative_to(data.folder).as_posix()
        for image in (0, 1):
            details[f"statement{text + 1}_image{image + 1}"] = float(similarities[text, image])
    return Item(id=pair.id, group=pair.category, outcome=float(outcome), details=details)
