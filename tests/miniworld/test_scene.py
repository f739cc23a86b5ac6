import torch
from hypothesis import given
from hypothesis import strategies as st

from diva.miniworld.scene import draw, generator, other_values
from diva.miniworld.vocabulary import ATTRIBUTES, PLACES, SHAPES


@given(seed=st.integers(0, 2**31), number=st.integers(1, 40))
def test_the_same_seed_draws_the_same_scenes_and_another_seed_others(seed: int, number: int) -> None:
    one, again, other = (draw(number, generator(key)) for key in (seed, seed, seed + 1))
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one.jitter, other.jitter)


def test_every_combination_of_values_is_about_equally_likely() -> None:
    scenes = draw(40_000, generator(1))
    for index, attribute in enumerate(ATTRIBUTES):
        for values, column in ((len(SHAPES), scenes.shape), (len(PLACES), scenes.place)):
            cells = torch.bincount(
                column * attribute.values + scenes.details[:, index], minlength=values * attribute.values
            )
            expected = scenes.number / len(cells)
            # six standard deviations of a binomial count
            assert (cells - expected).abs().max() < 6 * expected**0.5


@given(seed=st.integers(0, 2**31), attribute=st.integers(0, len(ATTRIBUTES) - 1))
def test_a_wrong_value_is_never_the_right_one_and_always_a_value(seed: int, attribute: int) -> None:
    scenes = draw(50, generator(seed))
    wrong = other_values(scenes, attribute, generator(seed, 1))
    assert (wrong != scenes.details[:, attribute]).all()
    assert wrong.min() >= 0
    assert wrong.max() < ATTRIBUTES[attribute].values


def test_changing_one_detail_leaves_the_original_and_the_other_details_alone() -> None:
    scenes = draw(20, generator(0))
    before = scenes.details.clone()
    changed = scenes.with_detail(3, torch.zeros(20, dtype=torch.int64))
    assert torch.equal(scenes.details, before)
    assert torch.equal(changed.details[:, :3], before[:, :3])
    assert torch.equal(changed.details[:, 4:], before[:, 4:])
    assert (changed.details[:, 3] == 0).all()
