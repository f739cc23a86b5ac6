"""The items that a tower answers otherwise than the baseline, with what the results say of each."""

from collections.abc import Iterator

from diva.evaluation.measures import Measure, Measured
from diva.evaluation.section import Details, Inline, Number, Pictures, Row, Words, plain_table, words
from diva.results import Item

SHOWN = 50  # items of a table
LONGEST = 300  # characters of a text
HEAD = ["Item", "Outcome", "What both were given", "Baseline → tower"]


def changed_items(measure: Measure, measured: Measured) -> Iterator[Details]:
    """Yield a table for each tower, the largest changes first, of items whose details are text.

    A detail that both towers have alike, such as a question, is what they were given; one that differs is what they
    made of it.
    """
    baseline = measure.entries[0]
    for tower, entry in list(zip(measured.towers, measure.entries, strict=False))[1:]:
        if entry and baseline:
            before = {item.id: item for item in baseline.result.items}
            pairs = [(item, before[item.id]) for item in entry.result.items if item.id in before]
            rows = [
                _row(ours, theirs)
                for ours, theirs in sorted(pairs, key=lambda pair: -abs(pair[0].outcome - pair[1].outcome))
                if ours.outcome != theirs.outcome and (_texts(ours) or _texts(theirs))
            ]
            shown = [
                Pictures(pictures=entry.pictures[row.name], caption=_caption(row))
                for row in rows[:SHOWN]
                if row.name in entry.pictures
            ]
            if rows:
                count = f"{len(rows)} item{'s' * (len(rows) != 1)}"
                cut = f" (the {SHOWN} largest changes)" if len(rows) > SHOWN else ""
                yield Details(
                    summary=f"{count} on which {tower.label} and the baseline differ{cut}",
                    blocks=[*shown, plain_table(HEAD, rows[:SHOWN], wide=True)],
                )


def _texts(item: Item) -> dict[str, str]:
    return {name: value for name, value in item.details.items() if isinstance(value, str) and value}


def _row(ours: Item, theirs: Item) -> Row:
    after, before = _texts(ours), _texts(theirs)
    outcome: list[Inline] = [
        Number(value=theirs.outcome, unit="score"),
        Words(text=" → "),
        Number(value=ours.outcome, unit="score"),
    ]
    given = [f"{name}: {_cut(value)}" for name, value in after.items() if before.get(name) == value]
    differing = [
        f"{name}: {_cut(before.get(name, ''))} → {_cut(after.get(name, ''))}"
        for name in before | after
        if before.get(name) != after.get(name)
    ]
    cells: list[list[Inline]] = [outcome, *(words("; ".join(each)) for each in (given, differing))]
    return Row(name=ours.id, cells=cells)


def _caption(row: Row) -> list[Inline]:
    outcome, given, differing = row.cells
    return [
        Words(text=f"{row.name} · "),
        *given,
        Words(text=" · "),
        *differing,
        Words(text=" · outcome "),
        *outcome,
    ]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
