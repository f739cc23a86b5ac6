"""Rows → the study's table: means and intervals over independent bases."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from pydantic import BaseModel
from scipy.stats import t as student_t

from benchmarks.miniworld.plan import Plan
from benchmarks.miniworld.rows import ORIGINAL, Row

CONFIDENCE = 0.95


class Figure(BaseModel):
    """A mean over bases, with the t-interval of the mean; null where fewer than two bases have been run."""

    mean: float
    interval: tuple[float, float] | None

    def __str__(self) -> str:
        if self.interval is None:
            return _signed(self.mean)
        return f"{_signed(self.mean)} [{_signed(self.interval[0])}, {_signed(self.interval[1])}]"


class Line(BaseModel):
    """One setting, as differences in points to the untrained tower of the same base.

    Attributes:
        runs: bases × seeds that were run.
        pairs, zero_shot, pooled_probe, patch_probe: differences of means over the details.
        by_detail: difference in pair accuracy of each detail, mean over bases.
        gap, drift: mean over bases, in their own units.
    """

    setting: str
    group: str
    share: float
    runs: int
    pairs: Figure
    zero_shot: Figure
    pooled_probe: Figure
    patch_probe: Figure
    by_detail: dict[str, float]
    gap: Figure | None
    drift: Figure


def lines(plan: Plan, rows: Sequence[Row]) -> list[Line]:
    """Summarise every setting that has been run, in the plan's order, each followed by its averages."""
    originals = {row.base: row for row in rows if row.setting == ORIGINAL}
    return [
        _line(setting.name, setting.group, share, chosen, originals)
        for setting in plan.settings
        for share in (1.0, *plan.averages)
        if (chosen := [row for row in rows if row.setting == setting.name and row.share == share])
    ]


def markdown(plan: Plan, rows: Sequence[Row]) -> str:
    """Lay the study out for the docs."""
    return "\n".join(_markdown(plan, lines(plan, rows), rows)) + "\n"


def over_bases(values: Sequence[tuple[int, float]]) -> Figure:
    """Average (base, value) over each base's seeds, then over bases; seeds of one base are not independent."""
    bases = sorted({base for base, _ in values})
    means = np.array([np.mean([value for base, value in values if base == each]) for each in bases])
    mean = float(means.mean())
    if len(means) < 2:
        return Figure(mean=mean, interval=None)
    half = student_t.ppf((1 + CONFIDENCE) / 2, len(means) - 1) * means.std(ddof=1) / math.sqrt(len(means))
    return Figure(mean=mean, interval=(mean - float(half), mean + float(half)))


def _line(setting: str, group: str, share: float, rows: Sequence[Row], originals: dict[int, Row]) -> Line:
    def rise(of: Callable[[Row], float]) -> Figure:
        return over_bases([(row.base, of(row) - of(originals[row.base])) for row in rows])

    gaps = [(row.base, row.gap) for row in rows if row.gap is not None]
    return Line(
        setting=setting,
        group=group,
        share=share,
        runs=len(rows),
        pairs=rise(lambda row: _mean(row.measured.pairs)),
        zero_shot=rise(lambda row: row.measured.zero_shot),
        pooled_probe=rise(lambda row: _mean(row.measured.pooled_probe)),
        patch_probe=rise(lambda row: _mean(row.measured.patch_probe)),
        by_detail={name: rise(_pairs_of(name)).mean for name in rows[0].measured.pairs},
        gap=over_bases(gaps) if gaps else None,
        drift=over_bases([(row.base, row.measured.drift) for row in rows]),
    )


def _markdown(plan: Plan, table: Sequence[Line], rows: Sequence[Row]) -> Iterator[str]:
    wanted = len(plan.bases) * len(plan.seeds)
    yield f"Plan `{plan.sha256[:12]}`: {len(plan.bases)} bases × {len(plan.seeds)} seeds."
    yield "Points against the untrained tower of the same base, mean over bases [95 % t-interval over bases]."
    yield ""
    yield "| setting | runs | pairs | zero-shot | pooled probe | patch probe | gap | drift |"
    yield "|---|---|---|---|---|---|---|---|"
    for original in (row for row in rows if row.setting == ORIGINAL):
        measured = original.measured
        figures = [
            _mean(measured.pairs),
            measured.zero_shot,
            _mean(measured.pooled_probe),
            _mean(measured.patch_probe),
        ]
        yield f"| base {original.base}, untrained (%) | | {' | '.join(f'{figure:.1f}' for figure in figures)} | | |"
    group = None
    for line in table:
        if line.group != group:
            group = line.group
            yield f"| **{group}** | | | | | | | |"
        name = line.setting if line.share == 1 else f"{line.setting}, {line.share:g} of it averaged in"
        runs = f"{line.runs}" if line.runs == wanted else f"{line.runs} of {wanted}"
        gap = "" if line.gap is None else f"{line.gap.mean:.4f}"
        yield (
            f"| {name} | {runs} | {line.pairs} | {line.zero_shot} | {line.pooled_probe} | {line.patch_probe}"
            f" | {gap} | {line.drift.mean:.3f} |"
        )


def _pairs_of(detail: str) -> Callable[[Row], float]:
    return lambda row: row.measured.pairs[detail]


def _mean(values: dict[str, float]) -> float:
    return sum(values.values()) / len(values)


def _signed(points: float) -> str:
    return f"{round(points, 1) + 0.0:+.1f}".replace("-", "−")
