"""From what was found to what the report says."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime

from diva import __version__
from diva_benchmarks.report.content import Content, Record, Row, Table
from diva_benchmarks.report.gather import Gathered, gather
from diva_benchmarks.report.llava import is_llava, llava
from diva_benchmarks.report.measures import MMVP, ZERO_SHOT, Entry, Measure
from diva_benchmarks.report.patterns import patterns
from diva_benchmarks.report.published import published_towers
from diva_benchmarks.report.segmentation import is_segmentation, segmentation
from diva_benchmarks.report.sources import Sources
from diva_benchmarks.report.split import splits
from diva_benchmarks.report.throughput import is_throughput, throughput
from diva_benchmarks.report.tradeoff import trade_offs
from diva_benchmarks.report.verdict import verdicts
from diva_benchmarks.report.zero_shot import zero_shot


def build(sources: Sources, *, published: bool) -> Content:
    """Return the report's content; `published` adds the papers' figures."""
    timed = [Entry(path, result) for path, result in sources.results if is_throughput(result)]
    gathered = gather([(path, result) for path, result in sources.results if not is_throughput(result)])
    towers, measures = gathered.towers, gathered.measures
    of_sets = zero_shot(measures, towers)
    summary = _summary(measures)
    return Content(
        diva_version=__version__,
        created=datetime.now(UTC),
        towers=towers,
        baseline_note="" if (sources.methods or timed) and not towers else gathered.baseline_note,
        verdicts=verdicts(towers, summary, of_sets.kept if of_sets else []),
        summary=summary,
        methods=sources.methods,
        patterns=patterns(measures, towers),
        splits=splits(measures, towers),
        zero_shot=of_sets,
        trade_offs=trade_offs(measures, towers),
        llava=llava(measures),
        segmentation=segmentation(measures, sources.sheets),
        throughput=throughput(sources.results),
        tables=[_table(measure) for measure in measures if not _has_own_section(measure)],
        qualitative=sources.qualitative,
        runs=sources.runs,
        training=sources.training,
        records=[*_records(gathered), *(_record(entry, entry.result.subject.label) for entry in timed)],
        recipes=sources.recipes,
        published=published_towers(measures, towers) if published else [],
        left_out=sources.left_out + gathered.left_out,
    )


def _summary(measures: Sequence[Measure]) -> list[Row]:
    """Return the headline of each measure; the zero-shot sets stand aside where their average is there."""
    averaged = any(measure.benchmark == ZERO_SHOT for measure in measures)
    return [measure.headline_row() for measure in measures if not (averaged and measure.is_zero_shot_set)]


def _has_own_section(measure: Measure) -> bool:
    of_another_section = measure.is_zero_shot_set or is_segmentation(measure) or is_llava(measure)
    return measure.benchmark in (MMVP, ZERO_SHOT) or of_another_section


def _table(measure: Measure) -> Table:
    return Table(
        title=measure.title,
        note=measure.setting,
        rows=[measure.row(metric, metric) for metric in measure.metrics],
    )


def _records(gathered: Gathered) -> list[Record]:
    return [
        _record(entry, tower.label)
        for measure in gathered.measures
        for entry, tower in zip(measure.entries, gathered.towers, strict=True)
        if entry
    ]


def _record(entry: Entry, tower: str) -> Record:
    result = entry.result
    return Record(
        tower=tower,
        benchmark=result.benchmark,
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
