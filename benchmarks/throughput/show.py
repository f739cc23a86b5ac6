"""The tables on a terminal."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.throughput.cases import Case
from benchmarks.throughput.growth import Cost, WholeRun
from benchmarks.throughput.growth_result import PARTS as GROWTH_PARTS
from benchmarks.throughput.growth_result import ratios
from benchmarks.throughput.outcome import TERA, Outcome
from benchmarks.throughput.scaling import Assumptions
from benchmarks.throughput.stopwatch import BACKWARD, OPTIMISER, OTHER

PARTS = ("data", "tower", "VAE", "text", "UNet forward", BACKWARD, OPTIMISER, OTHER)


def show_outcomes(outcomes: Sequence[Outcome], console: Console) -> None:
    """Print a line for each case; speed beside the baseline of the same recipe and batch, where it was measured."""
    first = outcomes[0]
    title = f"peak of one device in this run: {first.peak / TERA:.3g} TFLOP/s (a large matrix product)"
    table = _table(title, "recipe", "batch", "options")
    for header in ("images/s", "× baseline", "× by FLOPs", "TFLOP/image", "TFLOP/s", "of peak", "GiB"):
        table.add_column(header, justify="right")
    split = _table("milliseconds of an update", "recipe", "batch", "options")
    names = [name for name in PARTS if any(name in outcome.measurement.split for outcome in outcomes)]
    for name in names:
        split.add_column(name, justify="right")
    for outcome in outcomes:
        case, found = outcome.case, outcome.measurement
        head = (case.recipe, str(case.batch), case.label)
        table.add_row(
            *head,
            f"{found.images_per_second:.3g}",
            *_beside(outcome, outcomes),
            f"{outcome.flops / TERA:.3g}",
            f"{outcome.flops_per_second / TERA:.3g}",
            f"{outcome.share_of_peak:.1%}",
            f"{found.memory / 2**30:.2f}",
        )
        split.add_row(*head, *(f"{1000 * found.split.get(name, 0.0):.1f}" for name in names))
    console.print(table)
    console.print(split)


def show_data(rows: Sequence[tuple[str, int, float, int]], console: Console) -> None:
    """Print what the data alone gave: recipe, files, images/s and bytes."""
    table = _table("the data alone", "recipe")
    for header in ("files", "images/s", "MiB"):
        table.add_column(header, justify="right")
    for recipe, files, rate, memory in rows:
        table.add_row(recipe, str(files), f"{rate:.4g}", f"{memory / 2**20:.1f}")
    console.print(table)


def show_growth(recipe: str, short: WholeRun, long: WholeRun, console: Console) -> None:
    """Print what an image cost in both runs, their ratio, and what it cost in each tenth of the long one."""
    table = _table(f"{recipe}, batch {short.batch}: whole runs", "shards", "images")
    parts = _table(f"tenths of the run over {long.shards} shards", "tenth")
    for each in (table, parts):
        for header in ("CPU ms an image", "ms an image", "MiB"):
            each.add_column(header, justify="right")
    for whole in (short, long):
        table.add_row(str(whole.shards), str(whole.images), *_cost(whole.cost._replace(memory=whole.peak)))
    table.add_row("÷", "", *(f"{ratio:.3f}" for ratio in ratios(short, long).values()))
    for number, part in enumerate(long.parts(GROWTH_PARTS), 1):
        parts.add_row(str(number), *_cost(part))
    console.print(table)
    console.print(parts)


def show_scaling(
    case: Case,
    measured: Mapping[int, float],
    curve: Mapping[int, float],
    assumptions: Assumptions,
    console: Console,
) -> None:
    """Print images/s by the number of processes: measured where they were, modelled everywhere."""
    table = _table(f"{case.recipe}, batch {case.batch} a process, {case.label}, on several processes")
    for header in ("processes", "measured images/s", "modelled images/s", "of linear"):
        table.add_column(header, justify="right")
    for processes, rate in curve.items():
        found = f"{measured[processes]:.3g}" if processes in measured else ""
        table.add_row(str(processes), found, f"{rate:.3g}", f"{rate / processes / curve[1]:.1%}")
    console.print(table)
    for sentence in assumptions.sentences():
        console.print(Text(f"assumed: {sentence}"))


def _beside(outcome: Outcome, outcomes: Sequence[Outcome]) -> tuple[str, str]:
    case = outcome.case
    for other in outcomes:
        if other.case.is_baseline and (other.case.recipe, other.case.batch) == (case.recipe, case.batch):
            speed = outcome.measurement.images_per_second / other.measurement.images_per_second
            return f"{speed:.2f}", f"{other.flops / outcome.flops:.2f}"
    return "", ""


def _cost(cost: Cost) -> tuple[str, str, str]:
    return f"{1000 * cost.cpu:.2f}", f"{1000 * cost.wall:.2f}", f"{cost.memory / 2**20:.0f}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
