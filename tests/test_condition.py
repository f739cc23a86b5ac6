from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diva.condition import Condition, build_condition
from diva.condition.dense_recap import DenseRecapCondition, visual_token_count
from diva.denoisers import Context, Denoiser
from diva.errors import Invalid, Mismatch
from diva.recipes import load_recipe
from diva.recipes.conditions import (
    AllTokens,
    AnyCondition,
    ClassVector,
    DenseRecap,
    ImageEmbedding,
    NoTokens,
    PooledBroadcast,
    PooledPair,
    PooledToken,
    RandomTokens,
    Tokens,
    WindowTokens,
)
from diva.towers import ZOO, TowerTokens
from tests.fixtures.denoisers import SmallDenoiser

WIDTH, CONTEXT, PATCHES, POSITIONS = 6, 8, 16, 5


def condition(tokens: Tokens, combine: str = "mean_text", positions: int = POSITIONS) -> DenseRecapCondition:
    torch.manual_seed(0)
    section = DenseRecap(tokens=tokens, combine=combine)
    denoiser = SmallDenoiser(Context(torch.randn(1, positions, CONTEXT), None))
    return DenseRecapCondition(section, tower_width=WIDTH, patches=PATCHES, denoiser=denoiser).double()


def tower_tokens(batch: int = 3) -> TowerTokens:
    torch.manual_seed(1)
    return TowerTokens(torch.randn(batch, WIDTH).double(), torch.randn(batch, PATCHES, WIDTH).double())


def no_choice(samples: int, batch: int) -> torch.Tensor:
    return torch.empty(samples, batch, 0, dtype=torch.int64)


def told(module: DenseRecapCondition, tokens: TowerTokens, choice: torch.Tensor) -> torch.Tensor:
    context = module(tokens, choice)
    assert context.vector is None
    return context.tokens


def project(module: DenseRecapCondition, token: torch.Tensor) -> torch.Tensor:
    return module.projection.weight @ token + module.projection.bias


# tokens in the context of each published tower (released code, docs/method.md), and whether text positions match
TOKENS = {
    "openai-vit-l14-224": 77,
    "openai-vit-l14-336": 77,
    "metaclip-vit-l14-224": 257,
    "metaclip-vit-h14-224": 257,
    "siglip-so400m14-224": 43,
    "siglip-so400m14-384": 73,
    "dfn-vit-h14-224": 257,
    "dfn-vit-h14-378": 365,
}


@pytest.mark.parametrize("suffix", ["", "-as-released"])
@pytest.mark.parametrize("name", TOKENS)
def test_each_published_tower_gets_its_published_number_of_tokens(name: str, suffix: str) -> None:
    recipe = load_recipe(f"diva/{name}{suffix}")
    patches = (ZOO[name].size // 14) ** 2
    assert visual_token_count(recipe.condition.tokens, patches) == TOKENS[name]
    assert (recipe.condition.combine == "token_by_token") == name.startswith("openai")


def test_token_by_token_adds_text_and_visual_tokens_at_the_same_position() -> None:
    module = condition(RandomTokens(count=4), "token_by_token")
    tokens = tower_tokens()
    choice = torch.tensor([[[0, 3, 5, 7], [1, 1, 2, 9], [15, 14, 13, 12]]])
    context = told(module, tokens, choice)
    assert context.shape == (3, 5, CONTEXT)
    torch.testing.assert_close(context[1, 0], module.empty_tokens[0, 0] + project(module, tokens.pooled[1]))
    torch.testing.assert_close(context[1, 4], module.empty_tokens[0, 4] + project(module, tokens.patches[1, 9]))
    torch.testing.assert_close(context[2, 1], module.empty_tokens[0, 1] + project(module, tokens.patches[2, 15]))


def test_mean_text_is_added_to_every_visual_token() -> None:
    module = condition(AllTokens())
    tokens = tower_tokens()
    torch.manual_seed(0)
    text = torch.randn(1, POSITIONS, CONTEXT).double()
    context = told(module, tokens, no_choice(2, 3))
    assert context.shape == (6, 1 + PATCHES, CONTEXT)
    expected = text[0].mean(dim=0) + project(module, tokens.patches[0, 2])
    torch.testing.assert_close(context[0, 3], expected)
    torch.testing.assert_close(context[3], context[0])  # the second noise sample of the first image


def test_windows_average_consecutive_patches_and_drop_the_rest() -> None:
    module = condition(WindowTokens(window=6))
    tokens = tower_tokens()
    context = told(module, tokens, no_choice(1, 3))
    assert context.shape[1] == 1 + 2
    expected = module.empty_tokens[0, 0] + project(module, tokens.patches[1, 6:12].mean(dim=0))
    torch.testing.assert_close(context[1, 2], expected)


def test_pooled_alone_and_text_alone() -> None:
    tokens = tower_tokens()
    assert told(condition(PooledToken()), tokens, no_choice(2, 3)).shape == (6, 1, CONTEXT)
    text_only = condition(NoTokens())
    context = told(text_only, tokens, no_choice(2, 3))
    torch.testing.assert_close(context[4], text_only.empty_tokens[0])
    assert context.shape == (6, POSITIONS, CONTEXT)


def test_samples_of_one_image_read_their_own_patches() -> None:
    module = condition(RandomTokens(count=2))
    tokens = tower_tokens(batch=2)
    choice = torch.tensor([[[0, 1], [2, 3]], [[4, 5], [6, 7]]])
    context = told(
        module, tokens, choice
    )  # sample-major: (sample 0: image 0, image 1), (sample 1: image 0, image 1)
    torch.testing.assert_close(context[3, 1], module.empty_tokens[0, 0] + project(module, tokens.patches[1, 6]))
    torch.testing.assert_close(context[2, 2], module.empty_tokens[0, 0] + project(module, tokens.patches[0, 5]))


@settings(deadline=None)
@given(count=st.integers(1, PATCHES), samples=st.integers(1, 4), seed=st.integers(0, 2**40))
def test_draws_without_replacement_are_distinct_and_in_range(count: int, samples: int, seed: int) -> None:
    drawn = condition(RandomTokens(count=count)).draw(samples, torch.Generator().manual_seed(seed))
    assert drawn.shape == (samples, count)
    assert drawn.min() >= 0
    assert drawn.max() < PATCHES
    assert all(len(set(row)) == count for row in drawn.tolist())


def test_draws_with_replacement_repeat_and_are_uniform() -> None:
    module = condition(RandomTokens(count=76, replacement=True))
    drawn = module.draw(2000, torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn.flatten(), minlength=PATCHES).double()
    expected = drawn.numel() / PATCHES
    # chi-squared with 15 degrees of freedom: 37.7 is its 99.9 % point
    assert float(((counts - expected) ** 2 / expected).sum()) < 37.7


def test_a_share_is_rounded_down() -> None:
    assert visual_token_count(RandomTokens(share=0.5), 729) == 365
    assert visual_token_count(RandomTokens(share=0.15), 256) == 39


@pytest.mark.parametrize(
    ("tokens", "combine", "refused"),
    [
        (RandomTokens(count=5), "token_by_token", pytest.raises(Mismatch, match=r"\(5\).*condition.tokens.*6")),
        (RandomTokens(count=17), "mean_text", pytest.raises(Invalid, match=r"17.*16")),
        (WindowTokens(window=17), "mean_text", pytest.raises(Mismatch, match=r"condition.tokens.window: 17.*16")),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(
    tokens: Tokens, combine: str, refused: pytest.RaisesExc[Exception]
) -> None:
    with refused:
        condition(tokens, combine)


def mlp(module: torch.nn.Module, token: torch.Tensor) -> torch.Tensor:
    """LayerNorm, linear, GELU, linear, by hand."""
    norm, first, _, last = module
    hidden = first.weight @ ((token - token.mean()) / (token.var(correction=0) + norm.eps).sqrt()) + first.bias
    return last.weight @ (hidden * (1 + torch.erf(hidden / 2**0.5)) / 2) + last.bias


def build(section: AnyCondition, denoiser: Denoiser) -> Condition:
    torch.manual_seed(0)
    module = build_condition(
        section, SimpleNamespace(width=WIDTH, patches=PATCHES, require_patches=lambda _: None), denoiser
    )
    return module.double()


def test_broadcast_adds_one_vector_of_the_pooled_token_to_every_position_of_the_prompt() -> None:
    prompt = Context(torch.randn(1, POSITIONS, CONTEXT), torch.randn(1, 3))
    module = build(PooledBroadcast(), SmallDenoiser(prompt))
    tokens = tower_tokens()
    context = module(tokens, no_choice(2, 3))
    for place, image in ((0, 0), (4, 1)):  # sample-major
        added = mlp(module.projection, tokens.pooled[image])
        torch.testing.assert_close(context.tokens[place], prompt.tokens[0].double() + added)
        torch.testing.assert_close(context.vector[place], prompt.vector[0].double())
    assert torch.equal(module.empty.tokens, prompt.tokens.double())


def test_pair_gives_one_token_and_one_vector_of_the_pooled_token() -> None:
    module = build(PooledPair(), SmallDenoiser(Context(torch.zeros(1, 1, CONTEXT), torch.zeros(1, 3))))
    tokens = tower_tokens()
    context = module(tokens, no_choice(2, 3))
    assert (context.tokens.shape, context.vector.shape) == ((6, 1, CONTEXT), (6, 3))
    torch.testing.assert_close(context.tokens[4, 0], mlp(module.token, tokens.pooled[1]))
    torch.testing.assert_close(context.vector[4], mlp(module.vector, tokens.pooled[1]))


def test_class_vector_is_a_linear_map_of_the_pooled_token() -> None:
    module = build(ClassVector(), SmallDenoiser(Context(None, torch.ones(1, 3))))
    tokens = tower_tokens()
    context = module(tokens, no_choice(2, 3))
    assert context.tokens is None
    torch.testing.assert_close(context.vector[5], project(module, tokens.pooled[2]))
    assert torch.equal(module.empty.vector, torch.ones(1, 3).double())


class SmallDecoder(SmallDenoiser):
    """Reads embeddings of width 6 at eight levels: the embedding, noised by the level's share, and the level."""

    embedding_width, noise_levels, images_to_fit = WIDTH, 8, 0

    def fit(self, embeddings: torch.Tensor) -> None:
        raise NotImplementedError(embeddings)

    def noise_embedding(self, embedding: torch.Tensor, level: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        share = level[:, None] / 8
        return torch.cat([(1 - share) * embedding + share * noise, level[:, None]], dim=1)


def test_image_embedding_hands_the_pooled_token_to_the_decoder_with_its_own_level_and_noise() -> None:
    prompt = Context(torch.randn(1, POSITIONS, CONTEXT), torch.zeros(1, WIDTH + 1))
    module = build(ImageEmbedding(), SmallDecoder(prompt))
    assert not list(module.parameters())
    tokens, generator = tower_tokens(), torch.Generator().manual_seed(3)
    drawn = torch.stack([module.draw(2, generator) for _ in range(3)], dim=1)  # [S, B, 1 + D]
    assert set(drawn[..., 0].flatten().tolist()) <= set(range(8))
    context = module(tokens, drawn.double())
    level, noise = drawn[1, 2, 0].double(), drawn[1, 2, 1:].double()
    expected = torch.cat([(1 - level / 8) * tokens.pooled[2] + level / 8 * noise, level[None]])
    torch.testing.assert_close(context.vector[5], expected)
    torch.testing.assert_close(context.tokens[5], prompt.tokens[0].double())
    assert not module.empty.vector.any()


def test_noise_levels_are_uniform_over_the_decoder_s_range() -> None:
    module = build(ImageEmbedding(), SmallDecoder(Context(None, torch.zeros(1, WIDTH + 1))))
    levels = module.draw(4000, torch.Generator().manual_seed(0))[:, 0].long()
    counts = torch.bincount(levels, minlength=8).double()
    # chi-squared with 7 degrees of freedom: 24.3 is its 99.9 % point
    assert len(counts) == 8
    assert float(((counts - 500) ** 2 / 500).sum()) < 24.3


TEXT, VECTOR = Context(torch.zeros(1, POSITIONS, CONTEXT), None), Context(None, torch.zeros(1, 3))


@pytest.mark.parametrize(
    ("section", "reads", "says"),
    [
        (DenseRecap(tokens=AllTokens(), combine="mean_text"), VECTOR, r"condition\.type:"),
        (PooledBroadcast(), VECTOR, r"condition\.type:"),
        (PooledPair(), TEXT, "vector"),
        (PooledPair(prompt="a photo"), Context(TEXT.tokens, VECTOR.vector), r"condition\.prompt:"),
        (ClassVector(), TEXT, "vector"),
        (ImageEmbedding(), TEXT, r"condition\.type:"),
    ],
)
def test_a_condition_that_its_denoiser_cannot_read_is_refused(
    section: AnyCondition, reads: Context, says: str
) -> None:
    with pytest.raises(Mismatch, match=says):
        build(section, SmallDenoiser(reads))


def test_a_decoder_of_another_width_is_refused() -> None:
    decoder = SmallDecoder(Context(None, torch.zeros(1, WIDTH + 1)))
    decoder.embedding_width = 4
    with pytest.raises(Mismatch, match=r"4.*6"):
        build(ImageEmbedding(), decoder)
