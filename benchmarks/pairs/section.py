"""What the report says of sets of pairs: the scores by every rule, and what so many pairs can decide."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from diva.evaluation.comparison import by_metric, paired_outcomes
from diva.evaluation.measures import Measure, Measured, Tower, paired_difference
from diva.evaluation.power import least_above, smallest_difference
from diva.evaluation.section import (
    Block,
    Details,
    Heading,
    Inline,
    Number,
    Paragraph,
    Row,
    Section,
    Words,
    plain_table,
    words,
)
from diva.evaluation.statistics import Values
from diva.results import Result
from diva_benchmarks.pairs.adaptation import ADAPTATION, METHODS
from diva_benchmarks.pairs.scores import weights_of
from diva_benchmarks.pairs.sets import SETS, TASK

APART = (
    "Here the tower changed while it was tested: Test-Time Matching trains it on the pairs of the test, and"
    " Diffusion-TTA on each image before it is asked. Such a score belongs to a tower, a procedure and these pairs"
    " together. It cannot be compared with that of a tower that stays as it is, so these towers stand apart, and"
    " have no row in the summary. What the adaptation adds, diva pairs account says."
)
SHARES = (0.1, 0.2)  # of pairs that a training changes, where no two towers tell it
EXPLAINED = (
    "The same similarities by every rule. Text score: each image picks its own statement. Image score: each"
    " statement picks its own image; MMVP's pair rule is the same but for ties. Group score: both. GroupMatch: the"
    " true matching has the larger sum. A tower that gains by one rule alone has moved what that rule reads."
)
DECIDES = (
    "What so many pairs can decide: a true value at the limit is found by the exact test, two-sided at 5 %, in four"
    " of five such sets; below it a set of this size cannot tell it from nothing, whatever was observed."
)
WEIGHED = (
    " Its categories weigh the same and are not of one size, so differences are tested by flipping signs at random,"
    " and the set decides as much as {count:,} pairs of one weight: K² / Σ(1 / n) for K categories of n pairs."
)


def sections(title: str, measured: Measured) -> list[Section]:
    """Return a table of the rules and one of the limits for each set and protocol.

    Towers that adapt to the test pairs have a section of their own, with columns of their own, and no row in the
    summary.
    """
    fixed, adapted = (
        [measure for measure in measured.measures if (ADAPTATION in measure.settings) is adapts]
        for adapts in (False, True)
    )
    found = []
    if fixed:
        blocks = [Paragraph(content=words(EXPLAINED), style="soft"), *_of_measures(fixed, measured)]
        summary = [measure.headline_row() for measure in fixed]
        found.append(Section(id=TASK, title=title, blocks=blocks, summary=summary))
    if adapted:
        blocks = [Paragraph(content=words(APART)), *_of_measures(*_own_columns(adapted, measured.towers))]
        found.append(
            Section(id=f"{TASK}-adapted", title=f"{title}, by towers that adapt to the test", blocks=blocks)
        )
    return found


def _own_columns(adapted: Sequence[Measure], towers: Sequence[Tower]) -> tuple[list[Measure], Measured]:
    """Return the measures with columns for the towers alone that adapted, and these columns."""
    kept = [column for column in range(len(towers)) if any(measure.entries[column] for measure in adapted)]
    named = [towers[column].model_copy(update={"label": f"{towers[column].label}, adapted"}) for column in kept]
    measures = [
        replace(
            measure,
            entries=[measure.entries[column] for column in kept],
            changes=[measure.changes[column] for column in kept],
        )
        for measure in adapted
    ]
    return measures, Measured(named, measures)


def _of_measures(measures: Sequence[Measure], measured: Measured) -> list[Block]:
    return [block for measure in measures for block in _of_measure(measure, measured)]


def _of_measure(measure: Measure, measured: Measured) -> Iterator[Block]:
    rules = [name for name, metric in measure.metrics.items() if not metric.breakdown]
    method = METHODS.get(str(measure.settings.get(ADAPTATION)))
    yield Heading(text=f"{measure.title}: {method.title}" if method else measure.title, note=measure.note)
    yield measured.table([_of_rule(measure, rule) for rule in rules], "Score")
    if method:
        return  # what the pairs can decide stands with the towers that stay as they are
    weights = weights_of(measure.results[0])
    uneven = "" if np.allclose(weights, weights[0]) else WEIGHED.format(count=_worth(weights))
    yield Paragraph(content=words(DECIDES + uneven), style="soft")
    yield plain_table(["Question", "Limit"], list(_limits(measure, measured, weights)))
    if categories := [name for name, metric in measure.metrics.items() if metric.breakdown]:
        rows = [measure.row(name, name.partition("/")[2]) for name in categories]
        summary = f"{measure.headline.capitalize()} by {measure.metrics[categories[0]].breakdown} ({len(rows)})"
        yield Details(summary=summary, blocks=[measured.table(rows, "Category")])


def _of_rule(measure: Measure, rule: str) -> Row:
    """Return a rule's row, with its test against the baseline where there is one."""
    row = measure.row(rule, rule.capitalize() if rule.islower() else rule, _guessing(measure, rule))
    cells = list(row.cells)
    for column, ours, theirs in _compared(measure):
        number = row.number(column)
        if number and rule in theirs.metrics and rule != measure.headline:
            change = paired_difference(by_metric(ours, rule), by_metric(theirs, rule), rule)
            cells[column] = [number, change]
    return row.model_copy(update={"cells": cells})


def _worth(weights: Values) -> int:
    """Return how many pairs of one weight tell a mean as precisely as pairs of these weights."""
    return round(1 / float(weights @ weights))


def _limits(measure: Measure, measured: Measured, weights: Values) -> Iterator[Row]:
    n = _worth(weights)
    least, most = (Number(value=100 * float(each), unit="points") for each in (weights.min(), weights.max()))
    one: list[Inline] = [least] if math.isclose(least.value, most.value) else [least, Words(text=" to "), most]
    yield Row(name="One pair", cells=[one])
    for share in SHARES:
        name = f"Least difference of two towers, if {100 * share:.0f} % of the pairs change"
        none = f"none of {len(weights)} pairs shows it"
        yield Row(name=name, cells=[_limit(smallest_difference(n, share), "points", none)])
    for column, ours, theirs in _compared(measure):
        first, second, _ = paired_outcomes(ours, theirs)
        changed = weights_of(theirs)[first != second]
        name = f"Least difference of {measured.towers[column].label}, with {len(changed)} pairs changed as observed"
        found = smallest_difference(n, float(changed @ changed / (weights @ weights)))
        yield Row(name=name, cells=[_limit(found, "points", "none could be shown")])
    for rule, chance in _chances(measure).items():
        name = f"Least {rule} above guessing"
        cell = _limit(least_above(chance, n), "percent", "none could be told from it")
        yield Row(name=name, note=_guessing(measure, rule), cells=[cell])


def _limit(share: float | None, unit: str, otherwise: str) -> list[Inline]:
    return [Words(text=otherwise) if share is None else Number(value=100 * share, unit=unit)]


def _chances(measure: Measure) -> dict[str, float]:
    facts = SETS.get(measure.part)
    return {name: rule.chance(facts.texts, facts.images) for name, rule in facts.rules.items()} if facts else {}


def _guessing(measure: Measure, rule: str) -> str:
    chance = _chances(measure).get(rule)
    return "" if chance is None else f"guessing: {100 * chance:.1f} %"


def _compared(measure: Measure) -> Iterator[tuple[int, Result, Result]]:
    """Yield column and result of each tower that was measured on the baseline's pairs, with the baseline's."""
    baseline = measure.entries[0]
    for column, (entry, change) in enumerate(zip(measure.entries, measure.changes, strict=True)):
        if column and entry and baseline and change and entry.result.items and baseline.result.items:
            yield column, entry.result, baseline.result
