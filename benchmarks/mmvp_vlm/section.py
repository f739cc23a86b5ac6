"""What the report says of MMVP-VLM: by visual pattern, the pairs that changed, and what papers report."""

from collections.abc import Iterator, Sequence

from diva.evaluation.comparison import paired_outcomes
from diva.evaluation.measures import Measure, Measured
from diva.evaluation.multiples import levels
from diva.evaluation.section import (
    Block,
    Change,
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
from diva.evaluation.statistics import paired_test
from diva.results import Item, Result
from diva_benchmarks.mmvp_scoring import SCORING

CHANCE = 100 * SCORING.rules[SCORING.headline].chance(2, 2)  # percent


def patterns(measured: Measured, measures: Sequence[Measure]) -> Section:
    """Return every measure by pattern, its average last, with the pairs on which two towers differ."""
    chance = Number(value=CHANCE, unit="percent")
    said = (
        "Each pair of images differs in one visual pattern; a pair counts if both statements pick their own image."
    )
    blocks: list[Block] = [Paragraph(content=[Words(text=f"{said} Guessing gets "), chance, Words(text=" right.")])]
    for measure in measures:
        rows = [_pattern(measure, name) for name, each in measure.metrics.items() if each.breakdown]
        total = measure.row(measure.headline, measure.headline.capitalize(), role="total")
        blocks.append(Heading(text=f"Protocol {measure.protocol}, {measure.data.name}"))
        blocks.append(measured.table([*rows, total], "Pattern"))
        blocks += levels(rows, measured, guessing=CHANCE)
        blocks += [
            _changed(measured.towers[column].label, ours, theirs) for column, ours, theirs in _compared(measure)
        ]
    return Section(
        id="patterns",
        title="MMVP-VLM by visual pattern",
        blocks=blocks,
        summary=[measure.headline_row() for measure in measures],
    )


def _compared(measure: Measure) -> Iterator[tuple[int, Result, Result]]:
    """Yield column and result of each tower whose pairs the baseline was measured on too, with the baseline's."""
    baseline = measure.entries[0]
    for column, (entry, change) in enumerate(zip(measure.entries, measure.changes, strict=True)):
        if entry and baseline and change and _pairs(entry.result) == _pairs(baseline.result) != set():
            yield column, entry.result, baseline.result


def _pairs(result: Result) -> set[tuple[str, str]]:
    return {(item.id, item.group) for item in result.items}


def _pattern(measure: Measure, metric: str) -> Row:
    """Return a pattern's row with the pairs won and lost; its 15 pairs are too few for a test of their own."""
    pattern = metric.partition("/")[2]
    row = measure.row(metric, pattern)
    cells = list(row.cells)
    for column, ours, theirs in _compared(measure):
        first, second, groups = paired_outcomes(ours, theirs)
        chosen = [group == pattern for group in groups]
        test = paired_test(first[chosen], second[chosen])
        number, change = row.number(column), row.change(column)
        if number and change:
            cells[column] = [number, Change(value=change.value, wins=test.wins, losses=test.losses)]
    return row.model_copy(update={"cells": cells})


def _changed(tower: str, ours: Result, theirs: Result) -> Details:
    before = {item.id: item for item in theirs.items}
    pairs = [item for item in ours.items if (item.outcome > 0.5) != (before[item.id].outcome > 0.5)]
    rows = [
        Row(
            name=item.id,
            note=item.group,
            cells=[
                [
                    Number(value=before[item.id].outcome, unit="score"),
                    Words(text=" → "),
                    Number(value=item.outcome, unit="score"),
                ],
                list(_margins(item, before[item.id])),
            ],
        )
        for item in pairs
    ]
    head = ["Pair", "Right: baseline → tower", "Statements, with margin: baseline → tower"]
    explained = (
        "A margin is the statement's similarity to its own image minus that to the other image of the pair; the"
        " pair is right if both margins are above 0."
    )
    return Details(
        summary=f"The {len(pairs)} pairs that only one of {tower} and the baseline gets right",
        blocks=[Paragraph(content=words(explained), style="soft"), plain_table(head, rows, wide=True)],
    )


def _margins(item: Item, before: Item) -> Iterator[Inline]:
    for own, other in ((1, 2), (2, 1)):
        keys = (f"statement{own}_image{own}", f"statement{own}_image{other}")
        if all(isinstance(each.details.get(key), float) for each in (item, before) for key in keys):
            yield Words(text=f"{item.details.get(f'statement{own}', '')} ")
            yield Number(value=before.number(keys[0]) - before.number(keys[1]), unit="ratio")
            yield Words(text=" → ")
            yield Number(value=item.number(keys[0]) - item.number(keys[1]), unit="ratio")
            yield Words(text="; " if own == 1 else "")
