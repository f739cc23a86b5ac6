"""The section of a task that says nothing more than its figures: a table for each measure."""

from collections.abc import Iterator

from diva.evaluation.changed import changed_items
from diva.evaluation.measures import Measure, Measured
from diva.evaluation.section import Block, Details, Heading, Paragraph, Pictures, Row, Section, words
from diva.tasks import Task


def tables(task: Task, measured: Measured, measures: list[Measure] | None = None) -> Section:
    """Return a table of the metrics of each measure, with its breakdowns, changed items and sheets of pictures.

    Args:
        measures: some of those that were measured; all unless given.
    """
    chosen = measured.measures if measures is None else measures
    blocks: list[Block] = [Paragraph(content=words(task.introduction), style="soft")] if task.introduction else []
    blocks += [block for measure in chosen for block in _of_measure(measure, measured)]
    return Section(id=task.name, title=task.title, blocks=blocks, summary=summary(chosen))


def summary(measures: list[Measure]) -> list[Row]:
    """Return the headline of each measure."""
    return [measure.headline_row() for measure in measures]


def _of_measure(measure: Measure, measured: Measured) -> Iterator[Block]:
    yield Heading(text=measure.title, note=measure.note)
    yield measured.table(measure.rows(), "Metric")
    for breakdown in dict.fromkeys(metric.breakdown for metric in measure.metrics.values() if metric.breakdown):
        rows = measure.rows(breakdown)
        yield Details(summary=f"By {breakdown} ({len(rows)})", blocks=[measured.table(rows, "Metric")])
    yield from changed_items(measure, measured)
    for sheet in {entry.sheet.path: entry.sheet for entry in measure.entries if entry and entry.sheet}.values():
        yield Pictures(
            pictures=[sheet], caption=words(f"The images where the two towers differ most ({sheet.path}).")
        )
