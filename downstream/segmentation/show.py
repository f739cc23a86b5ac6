"""Segmentation results on a terminal."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from diva.evaluation.comparison import verdict
from diva.results import Metric, Result


def show(result: Result, console: Console) -> None:
    """Print the scores, beside a baseline's where there is one, and what the difference shows."""
    towers = {"tower": result} if result.baseline is None else {"baseline": result.baseline, "tower": result}
    console.print(Text(f"{result.data.name}: {result.protocol}"))
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("% [95 % interval]")
    for role in towers:
        table.add_column(role, justify="right")
    for name, metric in result.metrics.items():
        if not metric.breakdown:
            table.add_row(Text(name), *(Text(_cell(each.metrics[name])) for each in towers.values()))
    console.print(table)
    for role, each in towers.items():
        console.print(Text(f"{role}: {each.subject.label}, {each.data.items} images"))
    for comparison in result.comparisons:
        console.print(Text(f"{comparison.metric}: {verdict(comparison)}."))


def _cell(metric: Metric) -> str:
    if metric.interval is None:
        return f"{metric.value:.1f}"
    low, high = metric.interval
    return f"{metric.value:.1f} [{low:.1f}–{high:.1f}]"
