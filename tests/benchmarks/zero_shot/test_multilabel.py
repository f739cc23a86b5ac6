import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.metrics import average_precision_score

from diva_benchmarks.zero_shot.data import ManyLabels
from diva_benchmarks.zero_shot.multilabel import average_precisions, rank_classes
from diva_benchmarks.zero_shot.prompts import Prompts


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 40), levels=st.sampled_from([2, 5, 1000]))
def test_the_average_precision_is_scikit_learns_with_ties_and_weights(seed: int, n: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(levels, size=(n, 3)).astype(np.float32)
    labels = random.random((n, 3)) < 0.4
    labels[random.integers(n)] = True
    weights = np.stack([np.ones(n), random.integers(1, 4, n)]).astype(np.float64)
    found = average_precisions(scores, labels, weights)
    for row, weight in zip(found, weights, strict=True):
        expected = average_precision_score(labels, scores, average=None, sample_weight=weight)
        assert_allclose(row, expected, atol=1e-9)


def test_a_weight_of_zero_leaves_an_image_out() -> None:
    random = np.random.default_rng(0)
    scores, labels = random.random((30, 2)).astype(np.float32), random.random((30, 2)) < 0.5
    weights = (random.random(30) < 0.7).astype(np.float64)
    kept = weights > 0
    expected = average_precision_score(labels[kept], scores[kept], average=None)
    assert_allclose(average_precisions(scores, labels, weights[None])[0], expected)
    none = np.where(labels[:, 0], 0.0, 1.0)
    assert np.isnan(average_precisions(scores, labels, none[None])[0, 0])


def test_a_class_that_no_image_shows_has_no_item() -> None:
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(40, 8, generator=generator)
    labels = np.zeros((40, 3), dtype=bool)
    labels[:10, 0] = labels[5:20, 2] = True
    measured = rank_classes(embeddings, torch.eye(8)[:, :3], ManyLabels(Prompts(("a", "b", "c"), ("{c}",)), labels))
    assert [item.id for item in measured.items] == ["a", "c"]
    metric = measured.metrics["mean_average_precision"]
    assert metric.value == pytest.approx(100 * np.mean([item.outcome for item in measured.items]))
    assert metric.n == 40


def test_the_interval_is_as_wide_as_the_figure_scatters_over_samples() -> None:
    values, intervals = [], []
    for seed in range(100):
        random = np.random.default_rng(seed)
        labels = random.random((300, 4)) < 0.3
        scores = (labels + 1.2 * random.normal(size=(300, 4))).astype(np.float32)
        values.append(100 * average_precision_score(labels, scores))
        if seed < 5:
            # the cosines with the classes rank as the scores do, since a fifth axis is so much longer
            embeddings = torch.cat([torch.tensor(scores), torch.full((300, 1), 1000.0)], 1)
            truth = ManyLabels(Prompts(("a", "b", "c", "d"), ("{c}",)), labels)
            metric = rank_classes(embeddings, torch.eye(5)[:, :4], truth).metrics["mean_average_precision"]
            assert metric.value == pytest.approx(values[-1], abs=0.01)
            assert metric.interval is not None
            intervals.append(metric.interval)
    widths = [high - low for low, high in intervals]
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.std(values), rel=0.2)
    assert sum(low <= np.mean(values) <= high for low, high in intervals) >= 4
