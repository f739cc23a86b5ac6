"""What was measured, on a terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from diva.evaluation.comparison import verdict
from diva.evaluation.wording import signed_number
from diva.results import Metric, Result


def show(results: Sequence[Result], console: Console) -> None:
    """Print the overall figures of each benchmark and, beside a baseline, the verdict on each comparison."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in (
        "benchmark",
        "figure",
        "n",
        *(["baseline", "model", "difference"] if _paired(results) else ["model"]),
    ):
        table.add_column(head, justify="left" if head in ("benchmark", "figure") else "right")
    for result in results:
        for name, metric in result.metrics.items():
            if not metric.breakdown:
                table.add_row(*map(Text, [result.measured, name, str(metric.n), *_cells(result, name, metric)]))
    console.print(table)
    for result in results:
        console.print(Text(f"{result.measured}: {result.protocol}", style="dim"), soft_wrap=True)
        for comparison in result.comparisons:
            console.print(Text(f"  {comparison.metric}: {verdict(comparison)}."), soft_wrap=True)


def _paired(results: Sequence[Result]) -> bool:
    return any(result.baseline for result in results)


def _cells(result: Result, name: str, metric: Metric) -> list[str]:
    before = result.baseline.metrics.get(name) if result.baseline else None
    if before is None:
        return [_cell(metric)]
    return [_cell(before), _cell(metric), signed_number(metric.value - before.value)]


def _cell(metric: Metric) -> str:
    if metric.interval is None:
        return f"{metric.value:.1f}"
    low, high = metric.interval
    return f"{metric.value:.1f} [{low:.0f}–{high:.0f}]"
