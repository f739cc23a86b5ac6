"""Taking a gain on MMVP-VLM apart into what the tower and what the feature contributes.

Published gains compare a tower read by CLS and patches with a baseline read by CLS alone. With all four results
the two changes come apart: the tower's at one feature, and the feature's at one tower.
"""

from collections.abc import Iterator, Sequence

from diva.errors import InputError
from diva.evaluation.measures import Measure, Measured, paired_difference
from diva.evaluation.section import (
    Block,
    Change,
    Heading,
    Number,
    Paragraph,
    Row,
    Section,
    Words,
    plain_table,
    words,
)
from diva.results import Result
from diva_benchmarks.options import POOLED

INTRODUCTION = (
    "Published gains may mix two changes: a better tower, and another feature by which the tower is read (its"
    " pooled embedding, or that plus patch tokens). With all four figures the two come apart."
)


def split(measured: Measured, measures: Sequence[Measure]) -> list[Section]:
    """Return the section, with a table for each tower and published protocol; what one lacks is said in its place.

    There is none where the pooled feature alone was read: then all of a gain is the tower's.
    """
    published = [measure for measure in measures if measure.settings.get("protocol") != POOLED]
    if not published or measured.towers[0].role != "baseline":
        return []
    blocks: list[Block] = [Paragraph(content=words(INTRODUCTION))]
    for column in range(1, len(measured.towers)):
        blocks += _of_tower(measured, measures, published, column)
    return [Section(id="split", title="Tower or feature: where a gain comes from", blocks=blocks)]


def _of_tower(
    measured: Measured, measures: Sequence[Measure], published: Sequence[Measure], column: int
) -> Iterator[Block]:
    labels = [measured.towers[row].label for row in (0, column)]
    of_either = [measure for measure in published if measure.entries[column] or measure.entries[0]]
    if not of_either:
        yield Heading(text=labels[1])
        yield _missing([f"{label} by a published protocol" for label in labels])
    for measure in of_either:
        yield Heading(text=f"{labels[1]}, feature of {measure.protocol}")
        pooled = next((each for each in measures if _is_pooled(each, measure)), None)
        corners = [
            (f"{label} by {protocol}", each.entries[row] if each else None)
            for label, row in zip(labels, (0, column), strict=True)
            for protocol, each in ((POOLED, pooled), (measure.protocol, measure))
        ]
        if missing := [name for name, entry in corners if entry is None]:
            yield _missing(missing)
            continue
        try:
            yield _table(labels, measure, [entry.result for _, entry in corners if entry])
        except InputError as error:
            yield _missing([str(error)])


def _is_pooled(measure: Measure, published: Measure) -> bool:
    same_data = measure.data.fingerprint == published.data.fingerprint
    return measure.settings.get("protocol") == POOLED and same_data


def _missing(names: Sequence[str]) -> Paragraph:
    return Paragraph(content=words(f"Cannot be told: missing {'; '.join(names)}."))


def _table(labels: Sequence[str], measure: Measure, corners: Sequence[Result]) -> Block:
    before_pooled, before, after_pooled, after = corners
    metric = measure.headline
    rows = [
        Row(name=label, cells=[[_score(pooled, metric)], [_score(other, metric)], [_effect(other, pooled, metric)]])
        for label, pooled, other in ((labels[0], before_pooled, before), (labels[1], after_pooled, after))
    ]
    together = Words(text="both together, as papers quote it:", style="note")
    total = Row(
        name="tower effect",
        cells=[
            [_effect(after_pooled, before_pooled, metric)],
            [_effect(after, before, metric)],
            [together, _effect(after, before_pooled, metric)],
        ],
        role="total",
    )
    return plain_table(["", "pooled feature", f"{measure.protocol} feature", "feature effect"], [*rows, total])


def _score(result: Result, metric: str) -> Number:
    return Number(value=result.metrics[metric].value, unit="percent")


def _effect(ours: Result, theirs: Result, metric: str) -> Change:
    # here alone two protocols are compared, and that is the point: the feature is what differs
    alike = theirs.model_copy(update={"settings": ours.settings})
    return paired_difference(ours.model_copy(update={"baseline": None, "comparisons": []}), alike, metric)
