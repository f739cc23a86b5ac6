import math
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from diva.evaluation.statistics import (
    difference_interval,
    holm,
    macro_mean,
    mean_interval,
    paired_test,
    sign_flip,
    swap_test,
    weighted_differences,
    wilson_interval,
)

OUTCOMES = hnp.arrays(np.float64, st.integers(1, 40), elements=st.sampled_from([0.0, 0.25, 1.0]))
PAIRED = hnp.arrays(np.float64, st.tuples(st.just(2), st.integers(1, 40)), elements=st.sampled_from([0.0, 1.0]))


def outcomes(wins: int, losses: int, both: int = 0, neither: int = 0) -> tuple[list[int], list[int]]:
    ours = [1] * wins + [0] * losses + [1] * both + [0] * neither
    theirs = [0] * wins + [1] * losses + [1] * both + [0] * neither
    return ours, theirs


def test_groups_weigh_the_same_whatever_their_size() -> None:
    assert macro_mean([1, 0, 0, 0, 1], ["a", "a", "a", "a", "b"]) == (0.25 + 1) / 2
    assert macro_mean([1, 0, 0, 0, 1]) == 0.4


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (0, 6), (11, 7), (9, 1), (30, 31)])
def test_the_paired_test_is_statsmodels_exact_mcnemar(wins: int, losses: int) -> None:
    ours, theirs = outcomes(wins, losses, both=20, neither=5)
    found = paired_test(ours, theirs)
    expected = mcnemar([[20, wins], [losses, 5]], exact=True).pvalue if wins + losses else 1.0
    assert found.p_value == pytest.approx(expected)
    assert (found.name, found.wins, found.losses) == ("exact McNemar", wins, losses)


def test_six_wins_and_no_loss_are_one_in_thirty_two() -> None:
    # two-sided: all six coins alike, 2 / 2**6
    assert paired_test(*outcomes(6, 0, neither=129)).p_value == pytest.approx(1 / 32)


@pytest.mark.parametrize("sizes", [(9,), (3, 5, 40), (1, 1, 1, 2)])
def test_the_test_of_shares_in_groups_is_scipys_permutation_test(sizes: tuple[int, ...]) -> None:
    random = np.random.default_rng(sum(sizes))
    ours, theirs = random.choice([0.0, 0.25, 1.0], (2, sum(sizes)))
    groups = [str(index) for index, size in enumerate(sizes) for _ in range(size)]
    one_each = np.concatenate([np.full(size, 1 / size) for size in sizes])
    found = paired_test(ours, theirs, groups)
    expected = stats.permutation_test(
        ((ours - theirs) * one_each,),
        np.sum,
        permutation_type="samples",
        n_resamples=20_000,
        vectorized=True,
        rng=0,
    )
    assert found.name == "sign-flip test"
    assert (found.wins, found.losses) == (int((ours > theirs).sum()), int((ours < theirs).sum()))
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.015)


def test_the_test_is_of_the_mean_that_is_reported_and_not_of_the_count_of_items() -> None:
    # 60 small wins in one large class, 12 losses in two small ones: the mean over classes falls
    ours = [1.0] * 60 + [0.0] * 540 + [0.0] * 12 + [1.0] * 8
    theirs = [0.0] * 600 + [1.0] * 20
    groups = ["large"] * 600 + ["small"] * 10 + ["other"] * 10
    assert macro_mean(np.subtract(ours, theirs), groups) < 0
    assert paired_test(ours, theirs, groups).p_value < 0.05
    assert paired_test(ours[600:], theirs[600:]).p_value < 0.05
    balanced = paired_test([1.0] * 10 + [0.0] * 10, [0.0] * 10 + [1.0] * 10, ["a"] * 10 + ["b"] * 10)
    assert (balanced.name, balanced.p_value) == ("exact McNemar", 1)


def test_what_a_rounding_leaves_is_no_difference() -> None:
    found = paired_test([0.1 + 0.2, 1.0, 0.5], [0.3, 0.0, 0.0])
    assert (found.p_value, found.wins) == (0.5, 2)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_holms_p_values_are_statsmodels(p_values: list[float]) -> None:
    with mock.patch("gc.collect"):  # which statsmodels does at every call
        expected = multipletests(p_values, method="holm")[1].tolist()
    assert holm(p_values) == pytest.approx(expected)


def test_what_the_items_add_sums_to_the_difference_of_the_means() -> None:
    ours, theirs, groups = np.array([1, 0, 1, 1.0]), np.array([0, 0, 0.5, 0.0]), ["a", "a", "a", "b"]
    added = weighted_differences(ours, theirs, groups)
    assert added.tolist() == pytest.approx([1 / 6, 0, 1 / 12, 1 / 2])
    assert added.sum() == pytest.approx(macro_mean(ours, groups) - macro_mean(theirs, groups))


@pytest.mark.parametrize(("right", "n"), [(0, 15), (1, 15), (7, 15), (15, 15), (0, 1), (26, 135)])
def test_the_interval_of_a_proportion_is_statsmodels_wilson(right: int, n: int) -> None:
    expected = proportion_confint(right, n, method="wilson")
    assert wilson_interval(right / n, n) == pytest.approx(expected, abs=1e-12)


def test_no_right_item_of_fifteen_still_leaves_a_fifth_open() -> None:
    # Wilson at zero: z² / (n + z²)
    assert wilson_interval(0.0, 15) == pytest.approx((0.0, 1.959964**2 / (15 + 1.959964**2)))


@pytest.mark.parametrize("sizes", [(135,), (15,) * 9, (40, 7, 3)])
def test_the_bootstrap_is_scipys(sizes: tuple[int, ...]) -> None:
    random = np.random.default_rng(5)
    strata = [random.choice([0.0, 0.2, 1.0], size) for size in sizes]

    def mean_of_means(*samples: np.ndarray, axis: int) -> np.ndarray:
        return np.mean([sample.mean(axis) for sample in samples], axis=0)

    expected = stats.bootstrap(strata, mean_of_means, method="percentile", rng=1).confidence_interval
    groups = [str(index) for index, size in enumerate(sizes) for _ in range(size)]
    assert mean_interval(np.concatenate(strata), groups) == pytest.approx(tuple(expected), abs=0.01)


def test_the_bootstrap_of_135_pairs_is_about_seven_points_wide() -> None:
    low, high = mean_interval(np.arange(135) % 5 == 0)
    half = 1.96 * math.sqrt(0.2 * 0.8 / 135)
    assert (low, high) == pytest.approx((0.2 - half, 0.2 + half), abs=0.01)


def test_stratifying_takes_out_the_spread_between_groups() -> None:
    values, groups = [1.0] * 20 + [0.0] * 20, ["easy"] * 20 + ["hard"] * 20
    assert mean_interval(values, groups) == (0.5, 0.5)
    low, high = mean_interval(values)
    assert low < 0.4
    assert high > 0.6


def test_the_paired_interval_is_narrower_than_an_unpaired_one() -> None:
    random = np.random.default_rng(0)
    theirs = random.integers(0, 2, 200)
    ours = np.where(random.random(200) < 0.1, 1, theirs)
    low, high = difference_interval(ours, theirs)
    unpaired = 2 * 1.96 * math.sqrt((ours.var() + theirs.var()) / 200)
    assert 0 < low <= ours.mean() - theirs.mean() <= high
    assert high - low < 0.6 * unpaired


@given(OUTCOMES)
def test_every_interval_holds_its_estimate(values: np.ndarray) -> None:
    mean, slack = float(values.mean()), 1e-12
    for low, high in (mean_interval(values), wilson_interval(mean, len(values))):
        assert 0 <= low <= mean + slack
        assert mean - slack <= high <= 1 + slack


@given(PAIRED, st.data())
def test_swapping_the_two_sides_negates_everything(both: np.ndarray, data: st.DataObject) -> None:
    ours, theirs = both
    groups = data.draw(st.lists(st.sampled_from("abc"), min_size=len(ours), max_size=len(ours)))
    low, high = difference_interval(ours, theirs, groups)
    assert difference_interval(theirs, ours, groups) == (-high, -low)
    forward, backward = paired_test(ours, theirs, groups), paired_test(theirs, ours, groups)
    assert forward.p_value == backward.p_value
    assert (forward.wins, forward.losses) == (backward.losses, backward.wins)


@given(OUTCOMES)
def test_the_same_outcomes_give_the_same_interval(values: np.ndarray) -> None:
    assert mean_interval(values) == mean_interval(values[::-1])


def test_swapping_counts_of_a_linear_figure_is_the_sign_flip_test() -> None:
    random = np.random.default_rng(0)
    ours, theirs = random.integers(0, 10, (2, 9, 2))
    drawn = swap_test(ours, theirs, lambda sums: sums[..., 0] - 2 * sums[..., 1])
    exact = sign_flip(((ours - theirs) @ np.array([1, -2])).astype(float))
    assert drawn == pytest.approx(exact, abs=0.03)


def test_swapping_finds_no_difference_between_equal_counts_and_one_between_counts_that_never_cross() -> None:
    counts = np.random.default_rng(0).integers(1, 10, (40, 2))
    ratio = lambda sums: sums[..., 0] / sums[..., 1]  # noqa: E731
    assert swap_test(counts, counts, ratio) == 1
    assert swap_test(counts + np.array([5, 0]), counts, ratio) == pytest.approx(1 / 2001)
    # what has no figure counts against a change
    assert swap_test(counts, counts + 1, lambda sums: sums[..., 0] * np.nan) == 1
