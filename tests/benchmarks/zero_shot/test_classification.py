import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.metrics import accuracy_score, recall_score, top_k_accuracy_score
from statsmodels.stats.proportion import proportion_confint
from torch.nn import functional as F

from diva_benchmarks.zero_shot.classification import classify
from diva_benchmarks.zero_shot.data import OneLabel
from diva_benchmarks.zero_shot.prompts import Prompts
from diva_benchmarks.zero_shot.sets import Headline


def problem(seed: int, n: int, classes: int) -> tuple[torch.Tensor, torch.Tensor, OneLabel, list[str]]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=generator)
    centres = F.normalize(torch.randn(classes, 16, generator=generator), dim=-1)
    embeddings = 3 * centres[labels] + torch.randn(n, 16, generator=generator)
    truth = OneLabel(Prompts(tuple(f"class {label}" for label in range(classes)), ("{c}",)), labels.numpy())
    return embeddings, centres.T, truth, [f"image {number}" for number in range(n)]


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), n=st.integers(1, 60), classes=st.integers(2, 12))
def test_the_figures_are_scikit_learns(seed: int, n: int, classes: int) -> None:
    embeddings, classifier, truth, ids = problem(seed, n, classes)
    metrics = classify(embeddings, classifier, truth, ids, "acc1").metrics
    scores = (F.normalize(embeddings, dim=-1) @ classifier).numpy()
    guesses = scores.argmax(1)
    assert metrics["acc1"].value == pytest.approx(100 * accuracy_score(truth.labels, guesses))
    recall = recall_score(truth.labels, guesses, average="macro", labels=np.unique(truth.labels))
    assert metrics["mean_per_class_recall"].value == pytest.approx(100 * recall)
    assert ("acc5" in metrics) == (classes > 5)
    if classes > 5:
        among = top_k_accuracy_score(truth.labels, scores, k=5, labels=range(classes))
        assert metrics["acc5"].value == pytest.approx(100 * among)


@pytest.mark.parametrize("headline", ["acc1", "mean_per_class_recall"])
def test_the_items_average_to_the_headline_which_comes_first(headline: Headline) -> None:
    measured = classify(*problem(3, 90, 4), headline)
    groups: dict[str, list[float]] = {}
    for item in measured.items:
        groups.setdefault(item.group, []).append(item.outcome)
    mean = np.mean([np.mean(outcomes) for outcomes in groups.values()])
    assert next(iter(measured.metrics)) == headline
    assert measured.metrics[headline].value == pytest.approx(100 * mean)
    wrong = next(item for item in measured.items if not item.outcome)
    assert wrong.details["class"] != wrong.details["predicted"]


def test_shares_of_images_have_wilsons_interval() -> None:
    metric = classify(*problem(3, 90, 8), "acc1").metrics["acc5"]
    expected = proportion_confint(round(metric.value / 100 * 90), 90, method="wilson")
    assert_allclose(metric.interval, 100 * np.array(expected))


def test_two_classes_of_one_name_stay_two() -> None:
    truth = OneLabel(Prompts(("missile", "missile", "cat"), ("{c}",)), np.array([0, 1, 1]))
    measured = classify(torch.eye(3)[[0, 0, 1]], torch.eye(3), truth, ["a", "b", "c"], "mean_per_class_recall")
    assert [item.group for item in measured.items] == ["missile (0)", "missile (1)", "missile (1)"]
    assert measured.metrics["mean_per_class_recall"].value == 75
