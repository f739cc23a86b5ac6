import numpy as np
import pytest
import torch
from torch import Generator

from diva.errors import Unknown
from diva.towers import TowerTokens
from diva_benchmarks.protocols import (
    PROTOCOLS,
    diva_dfn_378,
    diva_metaclip,
    diva_openai,
    find_protocol,
    pooled,
)


def a_generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture
def tokens() -> TowerTokens:
    generator = a_generator(7)
    return TowerTokens(torch.randn(3, 8, generator=generator), torch.randn(3, 729, 8, generator=generator))


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.sqrt((vectors**2).sum(-1, keepdims=True))


def as_float64(tokens: TowerTokens) -> tuple[np.ndarray, np.ndarray]:
    return tokens.pooled.double().numpy(), tokens.patches.double().numpy()


def drawn(patches: np.ndarray, count: int, seed: int) -> np.ndarray:
    chosen = torch.randint(patches.shape[1], (len(patches), count, 1), generator=a_generator(seed)).numpy()[..., 0]
    return np.stack([image[rows] for image, rows in zip(patches, chosen, strict=True)])


def test_pooled_is_the_unit_embedding(tokens: TowerTokens) -> None:
    cls, _ = as_float64(tokens)
    np.testing.assert_allclose(pooled(tokens, a_generator()), unit(cls), atol=1e-6)


def test_openai_adds_76_raw_patches_and_normalises_last(tokens: TowerTokens) -> None:
    cls, patches = as_float64(tokens)
    expected = unit(cls + drawn(patches, 76, seed=3).mean(1))
    np.testing.assert_allclose(diva_openai(tokens, a_generator(3)), expected, atol=1e-6)


def test_metaclip_normalises_tokens_and_sum_and_takes_every_patch(tokens: TowerTokens) -> None:
    cls, patches = as_float64(tokens)
    expected = unit(unit(cls) + unit(patches).mean(1))
    np.testing.assert_allclose(diva_metaclip(tokens, a_generator()), expected, atol=1e-6)


def test_dfn_378_takes_364_of_729_unit_patches_and_leaves_the_sum_as_it_is(tokens: TowerTokens) -> None:
    cls, patches = as_float64(tokens)
    expected = unit(cls) + drawn(unit(patches), 364, seed=3).mean(1)
    features = diva_dfn_378(tokens, a_generator(3))
    np.testing.assert_allclose(features, expected, atol=1e-6)
    assert (features.norm(dim=-1) - 1).abs().min() > 0.01


def test_patches_are_drawn_with_replacement_and_apart_for_each_image() -> None:
    # each patch is its own axis, so the mean tells how often it was drawn
    count = 16
    patches = torch.eye(count).expand(2, count, count)
    features = diva_openai(TowerTokens(torch.zeros(2, count), patches), a_generator())
    times = features / features[features > 0].min()
    assert (times > 1.5).any()
    assert not torch.equal(features[0], features[1])


@pytest.mark.parametrize("name", PROTOCOLS)
def test_only_the_random_protocols_depend_on_the_seed(name: str, tokens: TowerTokens) -> None:
    protocol = find_protocol(name)
    first, again, other = (protocol.features(tokens, a_generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert torch.equal(first, other) is not protocol.random


def test_a_misspelt_protocol_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(Unknown, match=r"--protocol: 'diva-opnai'.*'diva-openai'"):
        find_protocol("diva-opnai")
