import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from diva.evaluation.statistics import macro_mean
from diva_benchmarks.pair_rule import pairs_right

SIMILARITIES = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 12), st.just(2), st.just(2)),
    elements=st.integers(-8, 8).map(lambda i: i / 8),
)


def official_rule(similarities: list[list[list[float]]], scale: float) -> list[bool]:
    """MMVP's rule as its script goes about it, one statement after the other."""
    right = []
    for number, pair in enumerate(similarities):
        ids = (2 * number + 1, 2 * number + 2)
        predicted, truth = [], []
        for question, (first, second) in zip(ids, pair, strict=True):
            probability = 1 / (1 + math.exp(scale * (second - first)))
            predicted.append("img1" if probability > 0.5 else "img2")
            truth.append("img1" if question % 2 == 1 else "img2")
        right.append(predicted == truth)
    return right


@pytest.mark.parametrize(
    ("first_statement", "second_statement", "right"),
    [
        ((0.3, 0.2), (0.1, 0.4), True),  # each statement picks its image
        ((0.2, 0.3), (0.4, 0.1), False),  # each picks the other one
        ((0.3, 0.2), (0.4, 0.1), False),  # both pick the first image
        ((0.2, 0.3), (0.1, 0.4), False),  # both pick the second image
        ((0.2, 0.2), (0.1, 0.4), False),  # a tie picks the second image: wrong for the first statement
        ((0.3, 0.2), (0.4, 0.4), True),  # and right for the second
        ((0.2, 0.2), (0.2, 0.2), False),
        ((-0.2, -0.3), (-0.4, -0.1), True),  # only the order matters, not the sign
    ],
)
def test_a_pair_worked_by_hand(
    first_statement: tuple[float, float], second_statement: tuple[float, float], right: bool
) -> None:
    assert pairs_right([[first_statement, second_statement]], scale=100.0).tolist() == [right]


@given(SIMILARITIES, st.sampled_from([1.0, 14.3, 100.0]))
def test_the_rule_is_that_of_the_official_script(similarities: np.ndarray, scale: float) -> None:
    assert pairs_right(similarities, scale).tolist() == official_rule(similarities.tolist(), scale)


@given(SIMILARITIES)
def test_several_runs_are_scored_at_once(similarities: np.ndarray) -> None:
    runs = np.stack([similarities, similarities[:, ::-1]])
    scored = pairs_right(runs, 100.0)
    assert scored.shape == runs.shape[:2]
    assert not (scored[0] & scored[1]).any()  # exchanged statements cannot both be right


def test_the_average_is_that_of_the_categories() -> None:
    outcomes = [1, 0, 0, 0, 1, 0.5]
    categories = ["Texts"] * 4 + ["State and Condition"] * 2
    assert 100 * macro_mean(outcomes, categories) == (25 + 75) / 2


def test_one_pair_of_the_published_135_is_three_quarters_of_a_point() -> None:
    categories = [str(index // 15) for index in range(135)]
    one = [index == 40 for index in range(135)]
    assert macro_mean(one, categories) == pytest.approx(1 / 135)
