"""Bringing results together: which towers there are, and what was measured alike."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from diva.errors import InputError
from diva.evaluation.measures import Entry, Measure, Tower
from diva.evaluation.section import Change
from diva.results import Result
from diva.tasks import Task
from diva_benchmarks.report.columns import Origin, columns
from diva_benchmarks.report.content import LeftOut

Alike = tuple[str, str, str, str]  # task, part, settings and data of results that may be compared


@dataclass(frozen=True)
class Gathered:
    """All measures, with the towers that are their columns."""

    towers: list[Tower]
    baseline_note: str
    measures: list[Measure]
    left_out: list[LeftOut]


def gather(entries: Iterable[Entry], tasks: dict[str, Task], origins: Sequence[Origin] = ()) -> Gathered:
    """Sort results into measures, whose towers are those of `diva_benchmarks.report.columns.columns`.

    Results of other data or other settings never share a measure, so no difference is taken between them.
    """
    entries = [each for entry in entries for each in _with_baselines(entry)]
    of_towers = [entry.result for entry in entries if _task(entry.result, tasks).of_towers]
    towers, note = columns(of_towers, origins)
    left_out: list[LeftOut] = []
    sheets: dict[Alike, dict[str, Entry]] = {}
    for entry in entries:
        result = entry.result
        if not result.metrics:
            left_out.append(LeftOut(what=str(entry.path), reason=_unscored(result)))
            continue
        sheet = sheets.setdefault(_alike(result), {})
        before = sheet.get(result.subject.sha256)
        kept = max(filter(None, (before, entry)), key=lambda each: each.result.run.started.timestamp())
        sheet[result.subject.sha256] = kept
        if before and before.result.metrics != result.metrics:
            left_out.append(_repeated(before if kept is entry else entry, kept))
    measures = [_measure(sheet, towers, tasks, left_out) for sheet in sheets.values()]
    for measure in measures:
        left_out.extend(_unmatched(measure, measures, towers))
    return Gathered(towers, note, measures, left_out)


def _task(result: Result, tasks: dict[str, Task]) -> Task:
    """Return the result's task, or where its package is not installed one that shows plain tables."""
    return tasks.get(result.task) or Task(result.task, result.task)


def _alike(result: Result) -> Alike:
    return result.task, result.part, str(sorted(result.settings.items())), result.data.fingerprint


def _with_baselines(entry: Entry) -> Iterator[Entry]:
    yield entry
    if entry.result.baseline:
        yield from _with_baselines(entry._replace(result=entry.result.baseline))


def _measure(
    sheet: dict[str, Entry], towers: Sequence[Tower], tasks: dict[str, Task], left_out: list[LeftOut]
) -> Measure:
    first = next(iter(sheet.values())).result
    task = _task(first, tasks)
    measure = Measure(
        title=task.title_of(first.part),
        task=first.task,
        part=first.part,
        settings=first.settings,
        protocol=first.protocol,
        data=first.data,
        headline=first.headline,
        # what is not of a tower stands in the order in which it was found
        entries=[sheet.get(tower.sha256) for tower in towers] if task.of_towers else list(sheet.values()),
    )
    for entry, tower in zip(measure.entries, towers, strict=False):
        try:
            measure.changes.append(_change(entry, measure.entries[0], task))
        except InputError as error:
            measure.changes.append(None)
            left_out.append(_no_difference(tower, measure, str(error)))
    return measure


def _change(entry: Entry | None, baseline: Entry | None, task: Task) -> Change | None:
    if entry is None or baseline is None or entry is baseline:
        return None
    ours, theirs = entry.result, baseline.result
    if ours.headline not in ours.metrics or ours.headline not in theirs.metrics:
        return None
    return task.difference(ours, theirs)


def _unscored(result: Result) -> str:
    return f"{result.measured} of '{result.subject.label}': holds no metric ({result.protocol})"


def _repeated(older: Entry, newer: Entry) -> LeftOut:
    return LeftOut(
        what=str(older.path),
        reason=f"{older.result.measured} of '{older.result.subject.label}' was measured again with other figures;"
        f" those of {newer.path} are newer and shown",
    )


def _unmatched(measure: Measure, measures: Sequence[Measure], towers: Sequence[Tower]) -> Iterator[LeftOut]:
    """Name the differences that the lack of an equal baseline measurement prevents, and what is not equal."""
    if measure.entries[0] or towers[0].role != "baseline":
        return
    of_baseline = [
        each for each in measures if (each.task, each.part) == (measure.task, measure.part) and each.entries[0]
    ]
    alike = [each for each in of_baseline if each.settings == measure.settings]
    if alike:
        reason = f"other data: {_data(measure)} for the tower, {_data(alike[0])} for the baseline"
    elif of_baseline:
        reason = f"other settings: {measure.protocol} for the tower, {of_baseline[0].protocol} for the baseline"
    else:
        reason = "the baseline was not measured"
    for entry, tower in zip(measure.entries, towers, strict=True):
        if entry:
            yield _no_difference(tower, measure, reason)


def _data(measure: Measure) -> str:
    return f"{measure.data.name} with fingerprint {measure.data.fingerprint[:12]}"


def _no_difference(tower: Tower, measure: Measure, reason: str) -> LeftOut:
    settings = f" ({measure.protocol})" if measure.protocol else ""
    return LeftOut(what=f"{measure.title}{settings}: difference of {tower.label}", reason=reason)
