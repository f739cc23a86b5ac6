"""One benchmark across the towers: what was measured alike, and how it differs from the baseline."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from diva.results import DataSource, Metric, Result
from diva_benchmarks.report.content import Cell, Difference, Row
from diva_benchmarks.report.differences import other_difference

MMVP = "mmvp-vlm"
POOLED = "pooled"
ZERO_SHOT = "zero_shot"
LLAVA = {
    "mmbench-en-dev": "MMBench (en, dev)",
    "mmbench-cn-dev": "MMBench (cn, dev)",
    "mmbench-en-test": "MMBench (en, test)",
    "mmbench-cn-test": "MMBench (cn, test)",
    "mmvp-vqa": "MMVP (VQA)",
    "pope-random": "POPE (random)",
    "pope-popular": "POPE (popular)",
    "pope-adversarial": "POPE (adversarial)",
    "llava-bench-wild": "LLaVA-Bench (in the wild)",
}
TITLES = {MMVP: "MMVP-VLM", ZERO_SHOT: "Zero-shot mean"} | LLAVA


class Entry(NamedTuple):
    """A result and the file that holds it."""

    path: Path
    result: Result


class Alike(NamedTuple):
    """What two results share that may be compared."""

    benchmark: str
    protocol: str
    fingerprint: str


@dataclass(frozen=True)
class Measure:
    """One benchmark by one protocol on one data set.

    Attributes:
        entries: one for each tower, the baseline first; None where it was not measured.
        headline: the metric that stands for the whole.
        changes: the headline's difference from the baseline, for each tower; None where it cannot be had.
    """

    benchmark: str
    protocol: str
    data: DataSource
    entries: list[Entry | None]
    headline: str
    changes: list[Difference | None]

    @property
    def title(self) -> str:
        """The benchmark's own name."""
        return TITLES.get(self.benchmark, self.benchmark)

    @property
    def metrics(self) -> dict[str, Metric]:
        """Every metric that any tower has, in the order of the first."""
        found: dict[str, Metric] = {}
        for entry in filter(None, self.entries):
            found = found | {name: each for name, each in entry.result.metrics.items() if name not in found}
        return found

    @property
    def is_zero_shot_set(self) -> bool:
        """Whether this is one set of the zero-shot benchmark."""
        return self.benchmark.startswith(f"{ZERO_SHOT}/")

    @property
    def setting(self) -> str:
        """The protocol, and the data where its name says more than the benchmark's."""
        if self.benchmark == ZERO_SHOT:
            return self.data.name
        return (
            self.protocol
            if self.data.name in (self.title, *self.title.split("/"))
            else f"{self.protocol} · {self.data.name}"
        )

    def headline_row(self, name: str = "", note: str = "") -> Row:
        """Return the headline across the towers."""
        return self.row(self.headline, name or self.title, note or self.setting)

    def row(self, metric: str, name: str, note: str = "") -> Row:
        """Return `metric` across the towers."""
        kind = self.metrics[metric]
        return Row(
            name=name,
            note=note,
            unit=kind.unit,
            n=kind.n,
            higher_is_better=kind.higher_is_better,
            cells=[self._cell(column, metric) for column in range(len(self.entries))],
        )

    def _cell(self, column: int, metric: str) -> Cell | None:
        entry = self.entries[column]
        if entry is None or metric not in entry.result.metrics:
            return None
        figure = entry.result.metrics[metric]
        return Cell(
            value=figure.value,
            interval=figure.interval,
            spread=figure.spread,
            difference=self._difference(column, metric),
        )

    def _difference(self, column: int, metric: str) -> Difference | None:
        ours, theirs, headline = self.entries[column], self.entries[0], self.changes[column]
        if metric == self.headline or headline is None:
            return headline
        if ours is None or theirs is None or metric not in theirs.result.metrics:
            return None
        return other_difference(ours.result, theirs.result, metric)
