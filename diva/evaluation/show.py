"""Any task's result on a terminal."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from diva.errors import printable
from diva.evaluation.comparison import verdict
from diva.evaluation.wording import figure, plain
from diva.results import Metric, Result


def show(result: Result, console: Console) -> None:
    """Print every metric of the whole, beside a baseline's where there is one, and what the difference shows."""
    towers = {"tower": result} if result.baseline is None else {"baseline": result.baseline, "tower": result}
    console.print(Text(printable(" · ".join(filter(None, (result.measured, result.protocol, result.data.name))))))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("metric", "n", *towers):
        table.add_column(head, justify="left" if head == "metric" else "right")
    for name, metric in result.metrics.items():
        if not metric.breakdown:
            cells = [_cell(each.metrics.get(name)) for each in towers.values()]
            table.add_row(Text(printable(name)), Text(str(metric.n)), *map(Text, cells))
    console.print(table)
    for role, each in towers.items():
        console.print(Text(printable(f"{role}: {each.subject.label}")))
    for comparison in result.comparisons:
        metric = result.metrics[comparison.metric]
        said = verdict(comparison, metric.unit, higher_is_better=metric.higher_is_better)
        console.print(Text(printable(f"{comparison.metric}: {said}.")), soft_wrap=True)


def _cell(metric: Metric | None) -> str:
    if metric is None:
        return "–"
    interval = ""
    if metric.interval:
        low, high = (plain(end, metric.unit) for end in metric.interval)
        interval = f" [{low} to {high}]"
    return f"{figure(metric.value, metric.unit)}{interval}"
