"""Zero-shot results on a terminal."""

from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from diva.evaluation.comparison import preservation, verdict
from diva.evaluation.wording import signed_number
from diva.results import Comparison, Metric, Result
from diva_benchmarks.zero_shot.summary import AVERAGE, headline

NAMES = {
    "acc1": "top-1",
    "mean_per_class_recall": "per class",
    "mean_average_precision": "mAP",
    "mean_recall": "recall",
}


def show(results: Mapping[str, Result], summary: Result, console: Console) -> None:
    """Print every set, the averages, what is missing, and beside a baseline whether the ability was preserved."""
    console.print(_table(results, summary))
    towers = {"tower": summary} if summary.baseline is None else {"baseline": summary.baseline, "tower": summary}
    for role, each in towers.items():
        console.print(Text(f"{role}: {each.subject.label}"))
    asked = len(results) + len(summary.missing)
    for reason in ("absent", "failed"):
        if names := [each.name for each in summary.missing if each.reason == reason]:
            console.print(Text(f"{reason}: {len(names)} of {asked} sets ({', '.join(names)})"))
    for comparison in summary.comparisons[:1]:
        console.print(Text(f"{comparison.metric}: {verdict(comparison)}."))
        console.print(Text(f"zero-shot ability {preservation(summary, comparison)}."))


def _table(results: Mapping[str, Result], summary: Result) -> Table:
    beside = summary.baseline is not None
    table = Table(title="Zero-shot: % [95 % interval]", box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    table.add_column("set")
    table.add_column("figure")
    for heading in ("n", *(["baseline"] if beside else []), "tower", *(["difference"] if beside else [])):
        table.add_column(heading, justify="right")
    for result in results.values():
        before = headline(result.baseline) if result.baseline else None
        table.add_row(
            *_cells(result.data.name, NAMES[result.headline], headline(result), before, result.comparisons)
        )
    table.add_section()
    for name in [name for name in summary.metrics if name.startswith(AVERAGE)]:
        before = summary.baseline.metrics[name] if summary.baseline else None
        comparisons = [each for each in summary.comparisons if each.metric == name]
        table.add_row(*_cells(name, "mean", summary.metrics[name], before, comparisons))
    return table


def _cells(
    name: str, figure: str, metric: Metric, before: Metric | None, comparisons: list[Comparison]
) -> list[Text]:
    cells = [name, figure, str(metric.n), *([_cell(before)] if before else []), _cell(metric)]
    return [*map(Text, cells), *(Text(_difference(each)) for each in comparisons)]


def _cell(metric: Metric) -> str:
    low, high = metric.interval or (metric.value, metric.value)
    return f"{metric.value:.1f} [{low:.1f}–{high:.1f}]"


def _difference(comparison: Comparison) -> str:
    low, high = comparison.interval or (comparison.difference, comparison.difference)
    return f"{signed_number(comparison.difference)} [{signed_number(low)}, {signed_number(high)}]"
