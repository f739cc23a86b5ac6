import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from diva.evaluation.power import least_above, smallest_difference
from diva.evaluation.statistics import paired_test


def connor(n: int, differing: float) -> float:
    """McNemar's smallest difference by the normal approximation (Connor 1987), solved by bisection."""
    low, high = 0.0, differing
    for _ in range(60):
        middle = (low + high) / 2
        needed = norm.isf(0.025) * math.sqrt(differing) + norm.isf(0.2) * math.sqrt(differing - middle**2)
        low, high = (middle, high) if (needed / middle) ** 2 > n else (low, middle)
    return high


@pytest.mark.parametrize(("n", "differing"), [(135, 0.1), (135, 0.2), (400, 0.2), (3000, 0.3), (20_000, 0.05)])
def test_the_smallest_difference_is_near_the_normal_approximation_and_not_below_it(
    n: int, differing: float
) -> None:
    found = smallest_difference(n, differing)
    assert found is not None
    # the exact test is conservative: a little more is needed
    assert connor(n, differing) <= found < 1.25 * connor(n, differing)


def test_four_of_five_simulated_sets_show_the_smallest_difference() -> None:
    n, differing = 135, 0.2
    difference = smallest_difference(n, differing)
    assert difference is not None
    random, shown = np.random.default_rng(0), 0
    wins, losses = (differing + difference) / 2, (differing - difference) / 2
    for _ in range(400):
        won, lost, _ = random.multinomial(n, [wins, losses, 1 - differing])
        ours = np.array([1.0] * won + [0.0] * (n - won))
        theirs = np.array([0.0] * won + [1.0] * lost + [0.0] * (n - won - lost))
        shown += won > lost and paired_test(ours, theirs).p_value < 0.05
    assert shown == pytest.approx(320, abs=30)


def test_too_few_pairs_show_nothing() -> None:
    assert smallest_difference(30, 0.1) is None  # some three pairs change; the exact test needs six
    assert smallest_difference(30, 0.0) is None
    assert least_above(0.25, 1) is None


def test_four_of_five_sets_of_that_score_differ_from_guessing() -> None:
    score = least_above(0.25, 135)
    assert score is not None
    right = np.random.default_rng(0).binomial(135, score, size=400)
    shown = sum(each > 135 / 4 and binomtest(int(each), 135, 0.25).pvalue < 0.05 for each in right)
    assert shown == pytest.approx(320, abs=30)
