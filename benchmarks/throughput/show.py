"""The tables on a terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from diva_benchmarks.throughput.outcome import TERA, Outcome
from diva_benchmarks.throughput.stopwatch import BACKWARD, OPTIMISER, OTHER

PARTS = ("data", "tower", "VAE", "text", "UNet forward", BACKWARD, OPTIMISER, OTHER)


def show_outcomes(outcomes: Sequence[Outcome], console: Console) -> None:
    """Print a line for each case; speed beside the baseline of the same recipe and batch, where it was measured."""
    first = outcomes[0]
    title = f"peak of one device in this run: {first.peak / TERA:.3g} TFLOP/s (a large matrix product)"
    table = _table(title, "recipe", "batch", "options")
    for header in ("images/s", "× baseline", "× by FLOPs", "TFLOP/image", "TFLOP/s", "of peak", "GiB"):
        table.add_column(header, justify="right")
    split = _table("milliseconds per update", "recipe", "batch", "options")
    names = [name for name in PARTS if any(name in outcome.measurement.split for outcome in outcomes)]
    for name in names:
        split.add_column(name, justify="right")
    for outcome in outcomes:
        case, found = outcome.case, outcome.measurement
        head = (Text(case.recipe), str(case.batch), case.label)
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
    table = _table("data only", "recipe")
    for header in ("files", "images/s", "MiB"):
        table.add_column(header, justify="right")
    for recipe, files, rate, memory in rows:
        table.add_row(Text(recipe), str(files), f"{rate:.4g}", f"{memory / 2**20:.1f}")
    console.print(table)


def _beside(outcome: Outcome, outcomes: Sequence[Outcome]) -> tuple[str, str]:
    case = outcome.case
    for other in outcomes:
        if other.case.is_baseline and (other.case.recipe, other.case.batch) == (case.recipe, case.batch):
            speed = outcome.measurement.images_per_second / other.measurement.images_per_second
            return f"{speed:.2f}", f"{other.flops / outcome.flops:.2f}"
    return "", ""


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
