"""Micro-batches: the loader's batches with their draws, in order, whole, even where one is prepared ahead."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from diva.data import Batch, ImageStreams, Loader, open_source
from diva.feedback import Draws
from diva.training.prefetch import MicroBatch, Prefetcher

CPU = torch.device("cpu")


@pytest.fixture
def make(shards: Path) -> Iterator[Callable[[bool], Prefetcher]]:
    loaders = []

    def draw(batch: Batch) -> Draws:
        return Draws(*(batch.indices[None] * factor for factor in (1, 2, 3, 4, 5)))

    def build(ahead: bool) -> Prefetcher:
        loaders.append(Loader(ImageStreams(open_source(str(shards)), seed=1, streams=4, image_size=32), 3))
        return Prefetcher(loaders[-1], draw, CPU, ahead=ahead)

    yield build
    for loader in loaders:
        loader.close()


def keys(batches: Prefetcher, count: int) -> list[list[str]]:
    return [micro_batch.batch.keys for _, micro_batch in zip(range(count), batches, strict=False)]


def assert_equal(one: MicroBatch, other: MicroBatch) -> None:
    assert torch.equal(one.batch.pixels, other.batch.pixels)
    assert all(torch.equal(*pair) for pair in zip(one.draws, other.draws, strict=True))


def test_looking_ahead_changes_nothing_that_is_handed_out(make: Callable[[bool], Prefetcher]) -> None:
    ahead, plain = make(True), make(False)
    for _ in range(12):
        assert_equal(next(ahead), next(plain))
        assert ahead.state_dict() == plain.state_dict()
        assert ahead.skipped == plain.skipped


def test_the_draws_belong_to_the_batch(make: Callable[[bool], Prefetcher]) -> None:
    batches = make(True)
    for micro_batch in (next(batches), next(batches)):
        assert torch.equal(micro_batch.draws.noise[0], 2 * micro_batch.batch.indices)


def test_a_prefetcher_goes_on_behind_the_last_micro_batch_whatever_was_prepared(
    make: Callable[[bool], Prefetcher],
) -> None:
    first, again = make(True), make(True)
    keys(first, 5)
    state = first.state_dict()
    expected = keys(first, 4)
    keys(again, 2)  # and has prepared a third, which must be forgotten
    again.load_state_dict(state)
    assert keys(again, 4) == expected
