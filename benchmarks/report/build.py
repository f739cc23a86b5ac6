"""From what was found to what the report says."""

import shlex
from collections.abc import Iterator
from datetime import UTC, datetime

from diva import __version__
from diva.evaluation.measures import Entry, Measured
from diva.evaluation.multiples import differences
from diva.evaluation.section import Block, Paragraph, Row, Section, words
from diva.tasks import Task
from diva_benchmarks.report.averaging import averaging
from diva_benchmarks.report.content import Content, Record
from diva_benchmarks.report.gather import Gathered, gather
from diva_benchmarks.report.overview import chart
from diva_benchmarks.report.sources import Sources
from diva_benchmarks.report.verdict import verdicts

HOW_SURE = (
    "How sure? Brackets hold the 95 % interval of the difference, item by item on the same data; won and lost count"
    " the items on which one of the two towers is better. A change is called better or worse only if its interval"
    " excludes 0 and a paired test gives p < 0.05; where nothing changed, about one such call in twenty comes up by"
    " chance. All this is about the choice of test items. How much another training run would differ, only more"
    " training seeds can tell."
)


def build(sources: Sources, *, published: bool) -> Content:
    """Return the report's content; `published` adds the papers' figures."""
    gathered = gather(sources.results, sources.tasks, sources.origins)
    measured = [section for section in _of_tasks(gathered, sources) if published or not section.published]
    summary = [row for section in measured for row in section.summary]
    remarks = [remark for section in measured for remark in section.remarks]
    nothing_compared = not gathered.towers and bool(measured)
    return Content(
        diva_version=__version__,
        created=datetime.now(UTC),
        towers=gathered.towers,
        baseline_note="" if nothing_compared else gathered.baseline_note,
        incomplete=sources.incomplete,
        verdicts=verdicts(gathered.towers, summary, remarks, sources.costs, sources.origins),
        chart=chart(summary, Measured(gathered.towers, [])),
        summary=summary,
        sections=_merged(
            [
                *(_summary(gathered, summary) if summary else []),
                *sources.pictures,
                *measured,
                *averaging(gathered.towers, summary),
                *sources.sections,
            ]
        ),
        records=list(_records(gathered)),
        recipes=sources.recipes,
        left_out=sources.left_out + gathered.left_out,
    )


def _of_tasks(gathered: Gathered, sources: Sources) -> Iterator[Section]:
    """Yield the tasks' sections in the order of their places; a task that is not installed has plain tables."""
    unknown = {
        each.task: Task(each.task, each.task) for each in gathered.measures if each.task not in sources.tasks
    }
    for name, task in (sources.tasks | unknown).items():
        yield from sources.of_tasks.get(name, ())
        if measures := [each for each in gathered.measures if each.task == name]:
            yield from task.sections(Measured(gathered.towers, measures))


def _merged(sections: list[Section]) -> list[Section]:
    """Put the blocks of sections of one id together, such as those of two training runs."""
    found: dict[str, Section] = {}
    for section in sections:
        before = found.get(section.id)
        joined = (
            {"blocks": before.blocks + section.blocks, "sentences": before.sentences + section.sentences}
            if before
            else {}
        )
        found[section.id] = section.model_copy(update=joined)
    return list(found.values())


def _summary(gathered: Gathered, rows: list[Row]) -> list[Section]:
    measured = Measured(gathered.towers, [])
    blocks: list[Block] = [measured.table(rows, "Benchmark"), *differences(rows, measured)]
    if any(row.change(column) for row in rows for column in range(len(row.cells))):
        blocks.append(Paragraph(content=words(HOW_SURE), style="soft"))
    return [Section(id="summary", title="Every benchmark, with intervals and tests", blocks=blocks)]


def _records(gathered: Gathered) -> Iterator[Record]:
    labels = {tower.sha256: tower.label for tower in gathered.towers}
    for measure in gathered.measures:
        for entry in filter(None, measure.entries):
            subject = entry.result.subject
            yield _record(entry, labels.get(subject.sha256, subject.label))


def _record(entry: Entry, tower: str) -> Record:
    result = entry.result
    return Record(
        tower=tower,
        measured=result.measured,
        protocol=result.protocol,
        file=str(entry.path),
        sha256=result.subject.sha256,
        recipe=result.subject.recipe,
        data=result.data.name,
        data_path=result.data.path,
        fingerprint=result.data.fingerprint,
        items=result.data.items,
        command=shlex.join(result.run.command),
        started=result.run.started.astimezone(UTC),
        wall_seconds=result.run.wall_seconds,
        peak_memory_bytes=result.run.peak_memory_bytes,
        seeds=result.run.seeds,
        device=result.run.device,
        versions=result.run.versions,
    )
