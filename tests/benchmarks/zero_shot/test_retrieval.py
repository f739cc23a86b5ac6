import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from diva_benchmarks.zero_shot.data import Captions
from diva_benchmarks.zero_shot.retrieval import DEPTHS, retrieve


def problem(seed: int, n: int, most: int) -> tuple[torch.Tensor, torch.Tensor, Captions, list[str]]:
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(1, most + 1, (n,), generator=generator).tolist()
    captions = Captions(
        tuple(tuple(f"{image}: {number}" for number in range(count)) for image, count in enumerate(counts))
    )
    images = torch.randn(n, 12, generator=generator)
    texts = torch.cat([images[image].expand(count, -1) for image, count in enumerate(counts)])
    texts = texts + 1.5 * torch.randn(texts.shape, generator=generator)
    return images, 7 * texts, captions, [f"image {number}" for number in range(n)]


def naive(images: torch.Tensor, texts: torch.Tensor, truth: Captions) -> dict[str, float]:
    owner = [image for image, captions in enumerate(truth.captions) for _ in captions]
    found = {}
    for depth in DEPTHS:
        right = 0
        for index, image in enumerate(images):
            cosines = [torch.cosine_similarity(image, text, dim=0).item() for text in texts]
            nearest = sorted(range(len(texts)), key=lambda text: -cosines[text])[:depth]
            right += any(owner[text] == index for text in nearest)
        found[f"text_retrieval_recall@{depth}"] = 100 * right / len(images)
        right = 0
        for index, text in enumerate(texts):
            cosines = [torch.cosine_similarity(image, text, dim=0).item() for image in images]
            nearest = sorted(range(len(images)), key=lambda image: -cosines[image])[:depth]
            right += owner[index] in nearest
        found[f"image_retrieval_recall@{depth}"] = 100 * right / len(texts)
    return {"mean_recall": float(np.mean(list(found.values())))} | found


@pytest.mark.parametrize(("seed", "n", "most"), [(0, 40, 1), (1, 25, 4), (2, 7, 2)])
def test_recalls_are_those_of_a_naive_search(seed: int, n: int, most: int) -> None:
    images, texts, truth, ids = problem(seed, n, most)
    measured = retrieve(images, texts, truth, ids)
    assert {name: metric.value for name, metric in measured.metrics.items()} == pytest.approx(
        naive(images, texts, truth)
    )


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), n=st.integers(1, 30), most=st.integers(1, 5))
def test_the_items_average_to_the_mean_recall(seed: int, n: int, most: int) -> None:
    measured = retrieve(*problem(seed, n, most))
    mean = 100 * np.mean([item.outcome for item in measured.items])
    assert measured.metrics["mean_recall"].value == pytest.approx(mean)


def test_a_tower_that_gives_every_image_the_same_embedding_finds_nothing() -> None:
    truth = Captions((("a",), ("b",), ("c",)) * 5)
    measured = retrieve(torch.ones(15, 4), torch.ones(15, 4), truth, [str(number) for number in range(15)])
    assert {metric.value for metric in measured.metrics.values()} == {0}


def test_the_interval_resamples_images_with_their_captions() -> None:
    images, texts, truth, ids = problem(5, 60, 3)
    measured = retrieve(images, texts, truth, ids)
    outcomes = np.array([item.outcome for item in measured.items])
    expected = bootstrap(
        (outcomes,), np.mean, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    interval = measured.metrics["mean_recall"].interval
    assert interval == pytest.approx((100 * expected.low, 100 * expected.high), abs=1.0)
