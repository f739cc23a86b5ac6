"""Bringing results together: which towers there are, and what was measured alike."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from diva.errors import InputError
from diva.results import Result
from diva_benchmarks.report.columns import columns
from diva_benchmarks.report.content import Difference, LeftOut, Tower
from diva_benchmarks.report.differences import headline_difference, other_difference
from diva_benchmarks.report.measures import MMVP, POOLED, ZERO_SHOT, Alike, Entry, Measure


@dataclass(frozen=True)
class Gathered:
    """All measures, with the towers that are their columns."""

    towers: list[Tower]
    baseline_note: str
    measures: list[Measure]
    left_out: list[LeftOut]


def gather(results: Iterable[tuple[Path, Result]]) -> Gathered:
    """Sort results into measures; a tower is known by its checkpoint's hash, however its label reads.

    The baseline is the tower that most results name as theirs; where none does, the first tower given. Results
    of other data or another protocol never share a measure, so no difference is taken between them.
    """
    entries = [entry for path, result in results for entry in _with_baselines(path, result)]
    towers, note = columns([entry.result for entry in entries])
    left_out: list[LeftOut] = []
    sheets: dict[Alike, dict[str, Entry]] = {}
    for entry in entries:
        result = entry.result
        if not result.metrics:
            left_out.append(LeftOut(what=str(entry.path), reason=_unscored(result)))
            continue
        alike = Alike(result.benchmark, result.protocol, result.data.fingerprint)
        sheet = sheets.setdefault(alike, {})
        before = sheet.get(result.subject.sha256)
        kept = max(filter(None, (before, entry)), key=lambda each: each.result.run.started.timestamp())
        sheet[result.subject.sha256] = kept
        if before and before.result.metrics != result.metrics:
            left_out.append(_repeated(before if kept is entry else entry, kept))
    measures = [
        _measure(alike, [sheet.get(tower.sha256) for tower in towers], towers, left_out)
        for alike, sheet in sheets.items()
    ]
    measures.sort(key=_rank)
    for measure in measures:
        left_out.extend(_unmatched(measure, measures, towers))
    return Gathered(towers, note, measures, left_out)


def _rank(measure: Measure) -> tuple[bool, ...]:
    """MMVP-VLM comes first, by the tower's own embedding before the published protocols; then zero-shot."""
    zero_shot = measure.benchmark == ZERO_SHOT or measure.is_zero_shot_set
    return measure.benchmark != MMVP, measure.protocol != POOLED, not zero_shot


def _with_baselines(path: Path, result: Result) -> Iterator[Entry]:
    yield Entry(path, result)
    if result.baseline:
        yield from _with_baselines(path, result.baseline)


def _measure(
    alike: Alike, entries: list[Entry | None], towers: Sequence[Tower], left_out: list[LeftOut]
) -> Measure:
    first = next(entry.result for entry in entries if entry)
    headline = _headline(entries)
    measure = Measure(alike.benchmark, alike.protocol, first.data, entries, headline, [])
    for entry, tower in zip(entries, towers, strict=True):
        try:
            measure.changes.append(_change(entry, entries[0], headline))
        except InputError as error:
            measure.changes.append(None)
            left_out.append(_no_difference(tower, measure, str(error)))
    return measure


def _headline(entries: Iterable[Entry | None]) -> str:
    """Return the metric that the first comparison is about, else the first metric."""
    results = [entry.result for entry in entries if entry]
    compared = (each.metric for result in results for each in result.comparisons if each.metric in result.metrics)
    return next(compared, next(iter(results[0].metrics)))


def _change(entry: Entry | None, baseline: Entry | None, headline: str) -> Difference | None:
    if entry is None or baseline is None or entry is baseline:
        return None
    if headline not in entry.result.metrics or headline not in baseline.result.metrics:
        return None
    if entry.result.benchmark == ZERO_SHOT:
        # its items are sets, which were not drawn from anything: only what was measured with the images counts
        return other_difference(entry.result, baseline.result, headline)
    return headline_difference(entry.result, baseline.result, headline)


def _unscored(result: Result) -> str:
    return f"{result.benchmark} of '{result.subject.label}': holds no metric ({result.protocol})"


def _repeated(older: Entry, newer: Entry) -> LeftOut:
    return LeftOut(
        what=str(older.path),
        reason=f"{older.result.benchmark} of '{older.result.subject.label}' was measured again with other figures;"
        f" those of {newer.path} are newer and shown",
    )


def _unmatched(measure: Measure, measures: Sequence[Measure], towers: Sequence[Tower]) -> Iterator[LeftOut]:
    """Name the differences that the lack of an equal baseline measurement prevents, and what is not equal."""
    if measure.entries[0] or towers[0].role != "baseline":
        return
    of_baseline = [each for each in measures if each.benchmark == measure.benchmark and each.entries[0]]
    same_protocol = [each for each in of_baseline if each.protocol == measure.protocol]
    if same_protocol:
        reason = f"other data: {_data(measure)} for the tower, {_data(same_protocol[0])} for the baseline"
    elif of_baseline:
        reason = f"other protocol: {measure.protocol} for the tower, {of_baseline[0].protocol} for the baseline"
    else:
        reason = "the baseline was not measured"
    for entry, tower in zip(measure.entries, towers, strict=True):
        if entry:
            yield _no_difference(tower, measure, reason)


def _data(measure: Measure) -> str:
    return f"{measure.data.name} with fingerprint {measure.data.fingerprint[:12]}"


def _no_difference(tower: Tower, measure: Measure, reason: str) -> LeftOut:
    return LeftOut(what=f"{measure.title} ({measure.protocol}): difference of {tower.label}", reason=reason)
