from itertools import permutations

import numpy as np
import pytest

from diva_benchmarks.pairs.choice import best_by_chance, held_out
from tests.fixtures.looks import simulate


def test_one_look_leaves_nothing_to_choose() -> None:
    _, looks, _ = simulate(0, 0.1)
    assert held_out(looks[:1], None).tolist() == looks[0].tolist()
    expected, _ = best_by_chance(looks[:1], simulate(0, 0.1).baseline, None)
    assert expected == pytest.approx(0, abs=1e-3)


def test_looks_that_are_equal_gain_nothing() -> None:
    baseline, looks, _ = simulate(0, 0.0)
    same = np.repeat(looks[:1], 5, axis=0)
    assert held_out(same, None).tolist() == looks[0].tolist()
    assert best_by_chance(same, baseline, None)[0] == pytest.approx(0, abs=1e-3)


def test_what_is_held_out_is_the_mean_over_all_halves() -> None:
    looks = np.array([[1.0, 0, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0]])
    expected, splits = np.zeros(4), 0
    for order in permutations(range(4)):
        chooses, scored = list(order[:2]), list(order[2:])
        chosen = looks[:, chooses].sum(1).argmax()
        expected[scored] += looks[chosen, scored]
        splits += 1
    # each pair is held out of half of the orders; 200 random splits come near all of them
    np.testing.assert_allclose(held_out(looks, None), expected / (splits / 2), atol=0.12)


def test_groups_weigh_the_same() -> None:
    # the first look is better by pairs, the second by groups: 1 of 1 and 0 of 9 against 0 of 1 and 5 of 9
    looks = np.array([[0.0] + [1] * 5 + [0] * 4, [1.0] + [0] * 9])
    groups = ["one"] + ["nine"] * 9
    doubled = np.concatenate([looks, looks], axis=1)  # so that each half has both groups
    chosen_by_pairs = held_out(doubled, None)
    chosen_by_groups = held_out(doubled, groups + groups)
    assert chosen_by_pairs[1] > 0.9
    assert chosen_by_groups[0] > chosen_by_pairs[0]


def test_the_best_of_equal_looks_gains_what_the_normal_order_statistics_say() -> None:
    # independent looks of fair coins against a baseline that gets nothing: the best of 8 lies 1.4236 deviations up
    # (the expected largest of eight standard normals)
    pairs, rounds = 400, 40
    random = np.random.default_rng(0)
    gains = [
        best_by_chance((random.random((8, pairs)) < 0.5).astype(float), np.zeros(pairs), None)[0]
        for _ in range(rounds // 10)
    ]
    assert np.mean(gains) == pytest.approx(1.4236 * 0.5 / np.sqrt(pairs), rel=0.06)
