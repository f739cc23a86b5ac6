"""Probing one tower on one set, and comparing two that were probed."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console

from diva.evaluation.comparison import by_metric, compare
from diva.evaluation.statistics import wilson_interval
from diva.progress import phase
from diva.results import Clock, Comparison, DataSource, Item, Metric, Result
from diva.towers import Clip
from diva_benchmarks.encoder import Encoder
from diva_benchmarks.probe.data import ProbeSet
from diva_benchmarks.probe.probes import (
    agreement,
    answers,
    clusters,
    deviation_interval,
    linear_probe,
    nearest_neighbours,
)
from diva_benchmarks.probe.task import NAME
from diva_benchmarks.subject import subject_of
from diva_benchmarks.tensor_cache import TensorCache

LINEAR, NEAREST = "linear", "k-NN"
CLASS, CLUSTER = "class", "cluster"


def measure_probes(clip: Clip, data: ProbeSet, *, neighbours: int, device: torch.device, batch: int) -> Result:
    """Probe the pooled embeddings of `clip`, in float32 and of length 1.

    Returns:
        Accuracies of the linear probe, the headline, and of the nearest neighbours, with Wilson's interval; NMI and
        ARI of as many clusters as there are classes among the measured images, with the bootstrap's. Items are
        images, outcome 1 or 0 by the linear probe.

    Raises:
        InputError: an image cannot be decoded.
        RunError: the device's memory does not hold a batch, or embeddings are not finite.
    """
    clock, title = Clock([], str(device)), data.folder.name
    clip.model.to(device)
    encoder = Encoder(clip, TensorCache(None, Console(stderr=True)), batch)
    features = F.normalize(encoder.images(data.images, data.fingerprint, title), dim=-1).numpy()
    splits, truth = data.splits(), data.labels[data.trained :]
    count = min(neighbours, *(len(learnt) for learnt, _ in splits))
    models = {LINEAR: linear_probe(), NEAREST: nearest_neighbours(count)}
    found = {
        name: answers(model, features, data.labels, splits, f"{title}: {name}") for name, model in models.items()
    }
    right = {name: (each == truth).astype(np.float64) for name, each in found.items()}
    with phase(f"{title}: clusters"):
        clustered = clusters(features[data.trained :], len(np.unique(truth)))
        agreed = agreement(truth, clustered)
    return Result(
        task=NAME,
        part=title,
        headline=LINEAR,
        settings={"learnt from": data.learnt_from, "neighbours": count},
        subject=subject_of(clip),
        data=DataSource(name=title, path=str(data.folder), fingerprint=data.fingerprint, items=len(truth)),
        metrics={name: _share(each) for name, each in right.items()}
        | {name: _ratio(each, len(truth)) for name, each in agreed.items()},
        items=[
            Item(
                id=id_,
                group="all",
                outcome=float(right[LINEAR][at]),
                details={
                    CLASS: str(truth[at]),
                    "linear probe": str(found[LINEAR][at]),
                    "nearest": str(found[NEAREST][at]),
                    NEAREST: float(right[NEAREST][at]),
                    CLUSTER: float(clustered[at]),
                },
            )
            for at, id_ in enumerate(data.ids)
        ],
        run=clock.stop(),
    )


def compare_probes(result: Result, baseline: Result) -> list[Comparison]:
    """Compare two results by every figure, the headline first; differences of NMI and ARI have no test.

    Raises:
        InputError: they were not measured alike.
    """
    paired = [compare(by_metric(result, name), by_metric(baseline, name), name) for name in (LINEAR, NEAREST)]
    ours, theirs = (_agreement_of(each) for each in (result, baseline))
    moved = {name: ours[name] - theirs[name] for name in ours}
    return [
        *paired,
        *(
            Comparison(metric=name, difference=float(each[0]), interval=deviation_interval(each))
            for name, each in moved.items()
        ),
    ]


def _agreement_of(result: Result) -> dict[str, NDArray[np.float64]]:
    items = sorted(result.items, key=lambda item: item.id)  # so that two results resample the same images
    classes = np.array([item.details[CLASS] for item in items])
    return agreement(classes, np.array([item.number(CLUSTER) for item in items]))


def _share(right: NDArray[np.float64]) -> Metric:
    low, high = wilson_interval(right.mean(), len(right))
    return Metric(value=100 * right.mean(), unit="percent", n=len(right), interval=(100 * low, 100 * high))


def _ratio(figures: NDArray[np.float64], n: int) -> Metric:
    return Metric(value=float(figures[0]), unit="ratio", n=n, interval=deviation_interval(figures))
