"""Rows → the study's table: means and intervals over independent bases."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, product

import numpy as np

from diva.evaluation.statistics import CONFIDENCE
from diva.evaluation.wording import signed_number
from diva_benchmarks.miniworld.measure import Measured
from diva_benchmarks.miniworld.plan import Distillation, Plan, Setting
from diva_benchmarks.miniworld.rows import MOVING_AVERAGE, ORIGINAL, Gaps, Row, Run, averaged
from diva_benchmarks.miniworld.summary import TRAINED, Figure, Line, Original, Study


def summarise(plan: Plan, rows: Sequence[Row], plan_file: str | None = None) -> Study:
    """Summarise every setting that has been run, in the plan's order, each followed by its averages."""
    originals = {row.base: row for row in rows if row.setting == ORIGINAL}
    # nothing can be said of a base without its untrained tower
    rows = [row for row in rows if row.base in originals]
    kinds = (TRAINED, MOVING_AVERAGE, *(averaged(share) for share in plan.averages))
    return Study(
        plan=plan.sha256,
        plan_file=plan_file,
        done=_done(plan, rows),
        bases=plan.bases,
        seeds=plan.seeds,
        originals=tuple(_original(row) for row in originals.values()),
        lines=tuple(
            _line(setting, kind, chosen, originals)
            for setting in plan.settings
            for kind in kinds
            if (chosen := [row for row in rows if row.setting == setting.name and row.weights == kind])
        ),
    )


def markdown(study: Study) -> str:
    """Lay the study out for the docs."""
    return "\n".join([*_summary(study), "", *_by_detail(study)]) + "\n"


def over_bases(values: Sequence[tuple[int, float]]) -> Figure:
    """Average (base, value) over each base's seeds, then over bases; seeds of one base are not independent."""
    bases = sorted({base for base, _ in values})
    means = np.array([np.mean([value for base, value in values if base == each]) for each in bases])
    mean = float(means.mean())
    if len(means) < 2:
        return Figure(mean=mean, interval=None, bases=len(means))
    from scipy.stats import t as student_t

    half = student_t.ppf((1 + CONFIDENCE) / 2, len(means) - 1) * means.std(ddof=1) / math.sqrt(len(means))
    return Figure(mean=mean, interval=(mean - float(half), mean + float(half)), bases=len(means))


def _done(plan: Plan, rows: Sequence[Row]) -> tuple[int, ...]:
    names = plan.primary or [setting.name for setting in plan.settings]
    run = {(row.base, row.setting, row.seed) for row in rows}
    return tuple(base for base in plan.bases if run.issuperset(product((base,), names, plan.seeds)))


def _original(row: Row) -> Original:
    measured = row.measured
    return Original(
        base=row.base,
        pairs=_mean(measured.pairs),
        zero_shot=measured.zero_shot,
        pooled_probe=_mean(measured.pooled_probe),
        patch_probe=_mean(measured.patch_probe),
        pairs_of=measured.pairs,
        compositions=measured.compositions,
    )


def _line(setting: Setting | Distillation, weights: str, rows: Sequence[Row], originals: dict[int, Row]) -> Line:
    def rise(of: Callable[[Measured], float]) -> Figure:
        return over_bases([(row.base, of(row.measured) - of(originals[row.base].measured)) for row in rows])

    def rises(of: Callable[[Measured], dict[str, float]]) -> dict[str, float]:
        def of_detail(name: str) -> float:
            return rise(lambda measured: of(measured)[name]).mean

        return {name: of_detail(name) for name in of(rows[0].measured)}

    def gap(of: Callable[[Gaps], float | None]) -> Figure | None:
        return _over(rows, lambda run: of(run.gaps) if run.gaps else None)

    judged = setting.judged if isinstance(setting, Setting) else None
    return Line(
        judged=weights == (TRAINED if judged is None else averaged(judged)),
        compositions=_composed(rows, originals),
        setting=setting.name,
        group=setting.group,
        method=(isinstance(setting, Setting) and setting.method) or setting.name,
        preserved_by=setting.preserved_by if isinstance(setting, Setting) else "",
        weights=weights,
        runs=len(rows),
        pairs=rise(lambda measured: _mean(measured.pairs)),
        zero_shot=rise(lambda measured: measured.zero_shot),
        pooled_probe=rise(lambda measured: _mean(measured.pooled_probe)),
        patch_probe=rise(lambda measured: _mean(measured.patch_probe)),
        pairs_of=rises(lambda measured: measured.pairs),
        pooled_probe_of=rises(lambda measured: measured.pooled_probe),
        patch_probe_of=rises(lambda measured: measured.patch_probe),
        gap_first=gap(lambda gaps: gaps.first),
        gap_before_tower=gap(lambda gaps: gaps.before_tower),
        gap=gap(lambda gaps: gaps.last),
        drift=over_bases([(row.base, row.measured.drift) for row in rows]),
        cpu_ms_per_image=_over(rows, lambda run: 1000 * run.cpu_seconds / run.images)
        if weights == TRAINED
        else None,
        warned=sum(bool(row.run and row.run.warnings) for row in rows),
    )


def _composed(rows: Sequence[Row], originals: dict[int, Row]) -> Figure | None:
    measured = [(row.base, row.measured.compositions, originals[row.base].measured.compositions) for row in rows]
    rises = [(base, after - before) for base, after, before in measured if after is not None and before is not None]
    return over_bases(rises) if rises else None


def _over(rows: Sequence[Row], of: Callable[[Run], float | None]) -> Figure | None:
    values = [(row.base, of(row.run)) for row in rows if row.run]
    known = [(base, value) for base, value in values if value is not None]
    return over_bases(known) if known else None


def _summary(study: Study) -> Iterator[str]:
    wanted = len(study.bases) * len(study.seeds)
    yield f"Plan `{study.plan[:12]}`: {len(study.bases)} bases × {len(study.seeds)} seeds. {study.pending}".rstrip()
    yield "Points against the untrained tower of the same base, mean over bases [95 % t-interval over bases]."
    yield "The gap is that soon after the start, at the end of a stage without the tower, and at the end."
    yield ""
    yield "| setting | runs | pairs | zero-shot | pooled probe | patch probe | gap | drift | ms/image |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for original in study.originals:
        figures = [original.pairs, original.zero_shot, original.pooled_probe, original.patch_probe]
        yield f"| base {original.base}, untrained (%) | | {' | '.join(f'{each:.1f}' for each in figures)} | | | |"
    for group, lines in groupby(study.lines, key=lambda line: line.group):
        yield f"| **{group}** | | | | | | | | |"
        for line in lines:
            runs = f"{line.runs}" if line.runs == wanted else f"{line.runs} of {wanted}"
            gap = "" if line.weights != TRAINED else _gaps(line)
            cost = f"{line.cpu_ms_per_image.mean:.1f}" if line.cpu_ms_per_image else ""
            yield (
                f"| {line.name} | {runs} | {line.pairs} | {line.zero_shot} | {line.pooled_probe}"
                f" | {line.patch_probe} | {gap} | {line.drift.mean:.3f} | {cost} |"
            )


def _by_detail(study: Study) -> Iterator[str]:
    if any(line.compositions for line in study.lines):
        yield "Statements that name two details at once, one of four is right; points against the untrained tower."
        yield ""
        yield "| setting | compositions |"
        yield "|---|---|"
        for original in study.originals:
            yield f"| base {original.base}, untrained (%) | {original.compositions:.1f} |"
        yield from (f"| {line.name} | {line.compositions} |" for line in study.lines if line.compositions)
        yield ""
    details = list(study.lines[0].pairs_of) if study.lines else []
    yield "Pair accuracy of each detail, points against the untrained tower, mean over bases."
    yield ""
    yield f"| setting | {' | '.join(details)} |"
    yield f"|---|{'---|' * len(details)}"
    for original in study.originals:
        figures = " | ".join(f"{original.pairs_of[name]:.1f}" for name in details)
        yield f"| base {original.base}, untrained (%) | {figures} |"
    for line in study.lines:
        yield f"| {line.name} | {' | '.join(signed_number(line.pairs_of[name]) for name in details)} |"


def _gaps(line: Line) -> str:
    gaps = (line.gap_first, line.gap_before_tower, line.gap)
    return " → ".join(f"{each.mean:.4f}".replace("-", "−") for each in gaps if each)


def _mean(values: dict[str, float]) -> float:
    return sum(values.values()) / len(values)
