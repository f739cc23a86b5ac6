"""MMVP-VLM by visual pattern, and the pairs on which two towers differ."""

from collections.abc import Iterator, Sequence

from diva.results import Item, Result
from diva_benchmarks.comparison import paired_outcomes
from diva_benchmarks.report.content import ChangedPair, ChangedPairs, Difference, Margin, Patterns, Row, Tower
from diva_benchmarks.report.measures import MMVP, Measure
from diva_benchmarks.statistics import paired_test

CATEGORY = "category/"
CHANCE = 25.0  # percent: each of a pair's two statements picks one of two images


def patterns(measures: Sequence[Measure], towers: Sequence[Tower]) -> list[Patterns]:
    """Return every MMVP-VLM measure by pattern, its average last."""
    return [
        Patterns(
            protocol=measure.protocol,
            data=measure.data.name,
            chance=CHANCE,
            rows=[
                *(_pattern_row(measure, name) for name in measure.metrics if name.startswith(CATEGORY)),
                measure.row(measure.headline, measure.headline.capitalize()),
            ],
            changed=[
                ChangedPairs(tower=towers[column].label, pairs=list(_changed(ours, theirs)))
                for column, ours, theirs in _compared(measure)
            ],
        )
        for measure in measures
        if measure.benchmark == MMVP
    ]


def _compared(measure: Measure) -> Iterator[tuple[int, Result, Result]]:
    """Yield column and result of each tower whose pairs the baseline was measured on too, with the baseline's."""
    baseline = measure.entries[0]
    for column, (entry, change) in enumerate(zip(measure.entries, measure.changes, strict=True)):
        if entry and baseline and change and _pairs(entry.result) == _pairs(baseline.result) != set():
            yield column, entry.result, baseline.result


def _pairs(result: Result) -> set[tuple[str, str]]:
    return {(item.id, item.group) for item in result.items}


def _pattern_row(measure: Measure, metric: str) -> Row:
    """Return a pattern's row with the pairs won and lost; its 15 pairs are too few for a test of their own."""
    pattern = metric.removeprefix(CATEGORY)
    row = measure.row(metric, pattern)
    cells = list(row.cells)
    for column, ours, theirs in _compared(measure):
        first, second, groups = paired_outcomes(ours, theirs)
        chosen = [group == pattern for group in groups]
        test = paired_test(first[chosen], second[chosen])
        cell = cells[column]
        if cell and cell.difference:
            counted = Difference(value=cell.difference.value, wins=test.wins, losses=test.losses)
            cells[column] = cell.model_copy(update={"difference": counted})
    return row.model_copy(update={"cells": cells})


def _changed(ours: Result, theirs: Result) -> Iterator[ChangedPair]:
    before = {item.id: item for item in theirs.items}
    for item in ours.items:
        if (item.outcome > 0.5) != (before[item.id].outcome > 0.5):
            yield ChangedPair(
                id=item.id,
                pattern=item.group,
                baseline=before[item.id].outcome,
                tower=item.outcome,
                margins=list(_margins(item, before[item.id])),
            )


def _margins(item: Item, before: Item) -> Iterator[Margin]:
    for own, other in ((1, 2), (2, 1)):
        keys = (f"statement{own}_image{own}", f"statement{own}_image{other}")
        if all(isinstance(each.details.get(key), float) for each in (item, before) for key in keys):
            yield Margin(
                statement=str(item.details.get(f"statement{own}", "")),
                baseline=_difference(before, *keys),
                tower=_difference(item, *keys),
            )


def _difference(item: Item, first: str, second: str) -> float:
    return float(item.details[first]) - float(item.details[second])
