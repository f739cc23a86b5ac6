"""MMVP-VLM's result on a terminal."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from diva.errors import printable
from diva.evaluation.comparison import verdict
from diva.evaluation.wording import signed_number
from diva.results import Metric, Result
from diva_benchmarks.pair_rule import CATEGORY

AVERAGE = "average"


def show(result: Result, console: Console) -> None:
    """Print every category, the average and, beside a baseline, the paired verdict."""
    columns = {"tower": result} if result.baseline is None else {"baseline": result.baseline, "tower": result}
    console.print(_table(columns, result.protocol))
    for role, each in columns.items():
        console.print(Text(f"{role}: {printable(each.subject.label)}\n  {_sentence(each)}"))
    for comparison in result.comparisons:
        console.print(Text(printable(f"{comparison.metric}: {verdict(comparison)}.")))


def _table(columns: dict[str, Result], protocol: str) -> Table:
    title = Text(f"MMVP-VLM, protocol {protocol}: % of pairs right [95 % interval]")
    table = Table(title=title, box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    table.add_column("pattern")
    for header in ("pairs", *columns, *(["difference"] if len(columns) > 1 else [])):
        table.add_column(header, justify="right")
    metrics = columns["tower"].metrics
    for name in [*(name for name in metrics if name != AVERAGE), AVERAGE]:
        if name == AVERAGE:
            table.add_section()
        cells = [printable(name.removeprefix(CATEGORY)), str(metrics[name].n)]
        cells += [_cell(each.metrics[name]) for each in columns.values()]
        if "baseline" in columns:
            cells.append(signed_number(metrics[name].value - columns["baseline"].metrics[name].value))
        table.add_row(*map(Text, cells))
    return table


def _cell(metric: Metric) -> str:
    if metric.interval is None:
        return f"{metric.value:.1f}"
    low, high = metric.interval
    return f"{metric.value:.1f} [{low:.0f}–{high:.0f}]"


def _sentence(result: Result) -> str:
    average = result.metrics[AVERAGE]
    low, high = average.interval or (average.value, average.value)
    spread = "" if average.spread is None else f", standard deviation {average.spread:.1f} over the seeds"
    seeds = f" over {len(result.run.seeds)} seeds" if result.run.seeds else ""
    return (
        f"{AVERAGE} {average.value:.1f} %{seeds},"
        f" 95 % interval {low:.1f} to {high:.1f} over {average.n} pairs{spread}."
    )
