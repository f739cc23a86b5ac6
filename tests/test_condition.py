import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diva.condition import DenseRecapCondition, visual_token_count
from diva.errors import InputError
from diva.recipes import load_recipe
from diva.recipes.schema import AllTokens, DenseRecap, NoTokens, PooledToken, RandomTokens, Tokens, WindowTokens
from diva.towers import ZOO, TowerTokens

WIDTH, CONTEXT, PATCHES, POSITIONS = 6, 8, 16, 5


def condition(tokens: Tokens, combine: str = "mean_text", positions: int = POSITIONS) -> DenseRecapCondition:
    torch.manual_seed(0)
    section = DenseRecap(tokens=tokens, combine=combine)
    return DenseRecapCondition(
        section, tower_width=WIDTH, patches=PATCHES, text=torch.randn(1, positions, CONTEXT)
    ).double()


def tower_tokens(batch: int = 3) -> TowerTokens:
    torch.manual_seed(1)
    return TowerTokens(torch.randn(batch, WIDTH).double(), torch.randn(batch, PATCHES, WIDTH).double())


def no_choice(samples: int, batch: int) -> torch.Tensor:
    return torch.empty(samples, batch, 0, dtype=torch.int64)


def project(module: DenseRecapCondition, token: torch.Tensor) -> torch.Tensor:
    return module.projection.weight @ token + module.projection.bias


# tokens in the context of each published tower (released code, docs/method.md), and whether text positions match
PUBLISHED = {
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
@pytest.mark.parametrize("name", ZOO)
def test_each_published_tower_gets_its_published_number_of_tokens(name: str, suffix: str) -> None:
    recipe = load_recipe(f"diva/{name}{suffix}")
    patches = (ZOO[name].size // 14) ** 2
    assert visual_token_count(recipe.condition.tokens, patches) == PUBLISHED[name]
    assert (recipe.condition.combine == "token_by_token") == name.startswith("openai")


def test_token_by_token_adds_text_and_visual_tokens_at_the_same_position() -> None:
    module = condition(RandomTokens(count=4), "token_by_token")
    tokens = tower_tokens()
    choice = torch.tensor([[[0, 3, 5, 7], [1, 1, 2, 9], [15, 14, 13, 12]]])
    context = module(tokens, choice)
    assert context.shape == (3, 5, CONTEXT)
    torch.testing.assert_close(context[1, 0], module.text[0, 0] + project(module, tokens.pooled[1]))
    torch.testing.assert_close(context[1, 4], module.text[0, 4] + project(module, tokens.patches[1, 9]))
    torch.testing.assert_close(context[2, 1], module.text[0, 1] + project(module, tokens.patches[2, 15]))


def test_mean_text_is_added_to_every_visual_token() -> None:
    module = condition(AllTokens())
    tokens = tower_tokens()
    torch.manual_seed(0)
    text = torch.randn(1, POSITIONS, CONTEXT).double()
    context = module(tokens, no_choice(2, 3))
    assert context.shape == (6, 1 + PATCHES, CONTEXT)
    expected = text[0].mean(dim=0) + project(module, tokens.patches[0, 2])
    torch.testing.assert_close(context[0, 3], expected)
    torch.testing.assert_close(context[3], context[0])  # the second noise sample of the first image


def test_windows_average_consecutive_patches_and_drop_the_rest() -> None:
    module = condition(WindowTokens(window=6))
    tokens = tower_tokens()
    context = module(tokens, no_choice(1, 3))
    assert context.shape[1] == 1 + 2
    expected = module.text[0, 0] + project(module, tokens.patches[1, 6:12].mean(dim=0))
    torch.testing.assert_close(context[1, 2], expected)


def test_pooled_alone_and_text_alone() -> None:
    tokens = tower_tokens()
    assert condition(PooledToken())(tokens, no_choice(2, 3)).shape == (6, 1, CONTEXT)
    text_only = condition(NoTokens())
    context = text_only(tokens, no_choice(2, 3))
    torch.testing.assert_close(context[4], text_only.text[0])
    assert context.shape == (6, POSITIONS, CONTEXT)


def test_samples_of_one_image_read_their_own_patches() -> None:
    module = condition(RandomTokens(count=2))
    tokens = tower_tokens(batch=2)
    choice = torch.tensor([[[0, 1], [2, 3]], [[4, 5], [6, 7]]])
    context = module(tokens, choice)  # sample-major: (sample 0: image 0, image 1), (sample 1: image 0, image 1)
    torch.testing.assert_close(context[3, 1], module.text[0, 0] + project(module, tokens.patches[1, 6]))
    torch.testing.assert_close(context[2, 2], module.text[0, 0] + project(module, tokens.patches[0, 5]))


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
    ("tokens", "combine", "says"),
    [
        (RandomTokens(count=5), "token_by_token", r"positions \(5\), but condition.tokens gives 6"),
        (RandomTokens(count=17), "mean_text", "17 of 16 patches cannot be drawn without replacement"),
        (WindowTokens(window=17), "mean_text", "condition.tokens.window: 17 is more than the tower's 16 patches"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(tokens: Tokens, combine: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        condition(tokens, combine)
