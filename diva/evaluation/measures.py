"""Results side by side: what was measured alike, and how each tower differs from the baseline."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from diva.evaluation.comparison import compare
from diva.evaluation.judgement import judge
from diva.evaluation.section import Change, Head, Inline, Number, Part, Picture, Row, Table
from diva.evaluation.statistics import macro_mean
from diva.results import Comparison, DataSource, Metric, Result


class Tower(Part):
    """A column."""

    label: str
    role: Literal["baseline", "tower", "control"]
    architecture: str
    source: str
    sha256: str
    recipe: str | None
    share: float | None


class Entry(NamedTuple):
    """A result, the file that holds it, and the pictures beside that: a sheet of them, and those of items by id."""

    path: Path
    result: Result
    sheet: Picture | None = None
    pictures: Mapping[str, list[Picture]] = {}


@dataclass(frozen=True)
class Measure:
    """One task with one group of settings on one data set.

    Attributes:
        title: of the task and its part.
        entries: one for each tower, the baseline first; None where it was not measured.
        changes: the headline's difference from the baseline, for each tower; None where it cannot be had.
    """

    title: str
    task: str
    part: str
    settings: dict[str, str | int | float]
    protocol: str
    data: DataSource
    headline: str
    entries: list[Entry | None]
    changes: list[Change | None] = field(default_factory=list)

    @property
    def results(self) -> list[Result]:
        """The results that there are."""
        return [entry.result for entry in self.entries if entry]

    @property
    def metrics(self) -> dict[str, Metric]:
        """Every metric that any tower has, in the order of the first."""
        found: dict[str, Metric] = {}
        for result in self.results:
            found |= {name: each for name, each in result.metrics.items() if name not in found}
        return found

    @property
    def note(self) -> str:
        """The settings, and the data where its name says more than the title."""
        known = (self.title, *self.title.split(": "), self.part)
        return " · ".join(filter(None, (self.protocol, "" if self.data.name in known else self.data.name)))

    def headline_row(self, name: str = "", note: str | None = None) -> Row:
        """Return the headline across the towers."""
        return self.row(self.headline, name or self.title, self.note if note is None else note)

    def row(
        self, metric: str, name: str = "", note: str = "", role: Literal["figures", "total"] = "figures"
    ) -> Row:
        """Return `metric` across the towers."""
        kind = self.metrics[metric]
        return Row(
            name=name or metric,
            note=note,
            n=kind.n,
            higher_is_better=kind.higher_is_better,
            cells=[self._cell(column, metric) for column in range(len(self.entries))],
            role=role,
        )

    def rows(self, breakdown: str = "") -> list[Row]:
        """Return every metric of one breakdown; those of the whole unless one is named."""
        return [self.row(name) for name, metric in self.metrics.items() if metric.breakdown == breakdown]

    def _cell(self, column: int, metric: str) -> list[Inline]:
        entry = self.entries[column]
        if entry is None or metric not in entry.result.metrics:
            return []
        figure = entry.result.metrics[metric]
        number = Number(value=figure.value, unit=figure.unit, interval=figure.interval, spread=figure.spread)
        change = self._change(column, metric)
        return [number, change] if change else [number]

    def _change(self, column: int, metric: str) -> Change | None:
        ours, theirs, headline = self.entries[column], self.entries[0], self.changes[column]
        if metric == self.headline or headline is None:
            return headline
        if ours is None or theirs is None or metric not in theirs.result.metrics:
            return None
        return held_difference(ours.result, theirs.result, metric)


@dataclass(frozen=True)
class Measured:
    """What was measured of one task, with the towers that are its columns."""

    towers: list[Tower]
    measures: list[Measure]

    def table(self, rows: Sequence[Row], first: str) -> Table:
        """Return a table with a column for each tower."""
        heads = [Head(title=tower.label, role="" if tower.role == "tower" else tower.role) for tower in self.towers]
        return Table(head=[Head(title=first), *heads], rows=list(rows))


def held_comparison(ours: Result, theirs: Result, metric: str) -> Comparison | None:
    """Return the comparison with `theirs` in `metric` that `ours` holds."""
    before = ours.baseline
    same = (
        before
        and before.subject.sha256 == theirs.subject.sha256
        and before.metrics.get(metric) == theirs.metrics.get(metric)
    )
    return next((each for each in ours.comparisons if each.metric == metric), None) if same else None


def held_difference(ours: Result, theirs: Result, metric: str) -> Change:
    """Return the comparison that `ours` holds with `theirs` in `metric`, else the plain difference, untested."""
    figure = ours.metrics[metric]
    if held := held_comparison(ours, theirs, metric):
        return _judged(held, figure)
    return Change(value=figure.value - theirs.metrics[metric].value, unit=figure.unit)


def paired_difference(ours: Result, theirs: Result, metric: str) -> Change:
    """Compare `metric` item by item, unless `ours` holds the comparison.

    Where the metric is not the mean of the outcomes (a mean IoU) and no comparison is held, the plain
    difference is returned, untested.

    Raises:
        InputError: the two were not measured on the same items.
    """
    if held_comparison(ours, theirs, metric) or not (ours.items or theirs.items):
        return held_difference(ours, theirs, metric)
    for grouped in (True, False):
        comparison = compare(ours, theirs, metric, grouped=grouped)
        if all(_is_mean(each, metric, grouped=grouped) for each in (ours, theirs)):
            return _judged(comparison, ours.metrics[metric])
    return held_difference(ours, theirs, metric)


def _judged(comparison: Comparison, metric: Metric) -> Change:
    fields = comparison.model_dump(include={"interval", "test", "p_value", "wins", "losses"})
    judgement = judge(comparison.interval, comparison.p_value, higher_is_better=metric.higher_is_better)
    return Change(value=comparison.difference, unit=metric.unit, judgement=judgement, **fields)


def _is_mean(result: Result, metric: str, *, grouped: bool) -> bool:
    outcomes = [item.outcome for item in result.items]
    mean = macro_mean(outcomes, [item.group for item in result.items] if grouped else None)
    figure = result.metrics[metric]
    return math.isclose(mean * (100 if figure.unit == "percent" else 1), figure.value, abs_tol=1e-6)
