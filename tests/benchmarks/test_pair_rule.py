import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from diva_benchmarks.pair_rule import ARGMAX, BOTH, GROUP, IMAGE, MATCH, PAIR, TEXT, Rule
from diva_benchmarks.pairs.sets import SETS
from tests.fixtures.official import (
    HEADLINES,
    Table,
    group_match,
    mmvp,
    sugarcrepe,
    sugarcrepe_pp,
    whatsup,
    winoground_group,
    winoground_image,
    winoground_text,
)

OFFICIAL: list[tuple[Rule, int, int, Callable[[Table], bool]]] = [
    (TEXT, 2, 2, winoground_text),
    (IMAGE, 2, 2, winoground_image),
    (GROUP, 2, 2, winoground_group),
    (PAIR, 2, 2, mmvp),
    (MATCH, 2, 2, group_match),
    (ARGMAX, 4, 2, whatsup),
    (IMAGE, 4, 2, winoground_image),
    (MATCH, 4, 2, group_match),
    (TEXT, 2, 1, sugarcrepe),
    (BOTH, 3, 1, sugarcrepe_pp),
]
IDS = [f"{rule.name} {texts}x{images}" for rule, texts, images, _ in OFFICIAL]


@pytest.mark.parametrize(("rule", "texts", "images", "official"), OFFICIAL, ids=IDS)
@given(data=st.data())
def test_every_decision_is_that_of_the_official_rule_ties_included(
    rule: Rule, texts: int, images: int, official: Callable[[Table], bool], data: st.DataObject
) -> None:
    eighths = st.integers(-3, 3).map(lambda number: number / 8)
    tables = data.draw(hnp.arrays(np.float64, (5, texts, images), elements=eighths))
    assert rule.right(tables, 100.0).tolist() == [official(table) for table in tables.tolist()]


@pytest.mark.parametrize("name", SETS)
@given(data=st.data())
def test_the_headline_of_every_set_is_its_authors_own_rule(name: str, data: st.DataObject) -> None:
    eighths, facts = st.integers(-3, 3).map(lambda number: number / 8), SETS[name]
    tables = data.draw(hnp.arrays(np.float64, (5, facts.texts, facts.images), elements=eighths))
    assert facts.headline.right(tables, 100.0).tolist() == [HEADLINES[name](table) for table in tables.tolist()]


@pytest.mark.parametrize("name", SETS)
def test_the_chance_levels_are_those_of_random_similarities(name: str) -> None:
    facts, draws = SETS[name], 200_000
    drawn = np.random.default_rng(1).normal(size=(draws, facts.texts, facts.images))
    for rule in facts.rules.values():
        chance = rule.chance(facts.texts, facts.images)
        error = math.sqrt(chance * (1 - chance) / draws)
        assert rule.right(drawn, 100.0).mean() == pytest.approx(chance, abs=5 * error), rule.name


def test_a_pair_of_each_has_the_published_chance_levels() -> None:
    # Winoground, table 3: 25, 25 and 16.67; Test-Time Matching: 1/k!, and (k-1)!/(2k-1)! for the group score
    levels = [rule.chance(2, 2) for rule in (TEXT, IMAGE, GROUP, MATCH)]
    assert levels == [0.25, 0.25, pytest.approx(1 / 6), 1 / math.factorial(2)]
    assert levels[2] == pytest.approx(math.factorial(1) / math.factorial(3))
