"""Classifiers and clusters of scikit-learn's on frozen features, and what they are worth."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from diva.evaluation.statistics import CONFIDENCE, SEED, Interval
from diva.progress import steps
from diva_benchmarks.probe.data import Indices

STRENGTHS = np.logspace(-4, 1, 6).tolist()  # of the likelihood against the weights' square
INNER_FOLDS = 3  # in which the strength is chosen, among the images that are learnt from
UPDATES = 1000  # of the probe's optimiser at most; it ends by itself long before
STARTS = 10  # of k-means, the best of which counts
RESAMPLES = 500
SCORES = {"NMI": normalized_mutual_info_score, "ARI": adjusted_rand_score}

Features = NDArray[np.float32]
Labels = NDArray[Any]


def linear_probe() -> GridSearchCV:
    """Return a logistic regression of standardised features, its strength chosen by cross-validation."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=UPDATES))
    return GridSearchCV(model, {"logisticregression__C": STRENGTHS}, cv=INNER_FOLDS)


def nearest_neighbours(count: int) -> KNeighborsClassifier:
    """Return a vote of the `count` nearest images; of features of length 1 these are the nearest by cosine, too."""
    return KNeighborsClassifier(count, algorithm="brute")


def answers(
    model: Any, features: Features, labels: Labels, splits: Sequence[tuple[Indices, Indices]], title: str
) -> Labels:
    """Return the classes that `model` gives the images that are measured, in their order.

    Args:
        features, labels: of all images, [N, D] and [N].
        splits: the images that it learns from, and those that it then answers.
    """
    found = np.empty_like(labels)
    for learnt, answered in steps(splits, title):
        found[answered] = model.fit(features[learnt], labels[learnt]).predict(features[answered])
    return found[np.sort(np.concatenate([answered for _, answered in splits]))]


def clusters(features: Features, count: int) -> NDArray[np.int64]:
    """Return the cluster of each image [N] by k-means, the best of `STARTS`."""
    return np.asarray(KMeans(count, n_init=STARTS, random_state=SEED).fit_predict(features), dtype=np.int64)


def agreement(classes: Labels, found: Labels) -> dict[str, NDArray[np.float64]]:
    """Return how far clusters agree with classes, as NMI and ARI, each [1 + `RESAMPLES`].

    The first of each is the figure, the others are those of the bootstrap's resamples of images, whose clusters
    stay; they are the same images whatever tower made the clusters. NMI is the mutual information over the mean of
    both entropies, ARI the adjusted Rand index (Hubert and Arabie 1985).
    """
    random, n = np.random.default_rng(SEED), len(classes)
    chosen = [np.arange(n), *(random.integers(n, size=n) for _ in range(RESAMPLES))]
    return {
        name: np.array([score(classes[each], found[each]) for each in chosen]) for name, score in SCORES.items()
    }


def deviation_interval(figures: NDArray[np.float64]) -> Interval:
    """Return the 95 % interval of a figure, which its resamples follow, by their standard deviation.

    Their quantiles would not do: a resample repeats images, which always lie together, and so agrees too well.
    """
    half = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * figures[1:].std(ddof=1)
    return float(figures[0] - half), float(figures[0] + half)
