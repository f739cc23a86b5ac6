"""What a source holds, for the terminal."""

from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from diva.data.inspection import Spread, inspect
from diva.data.resolve import open_source
from diva.errors import printable

SHOWN = 10  # lines of a kind


def print_inspection(spec: str) -> None:
    """Print what the source `spec` holds.

    Raises:
        InputError: there is no such source.
    """
    found = inspect(open_source(spec))
    table = Table(
        title=Text(f"{printable(found.spec)} ({found.kind})"),
        box=box.SIMPLE,
        show_header=False,
        title_justify="left",
    )
    table.add_column()
    table.add_column(overflow="fold")
    formats = ", ".join(f"{count} {name}" for name, count in found.formats.items()) or "none"
    for name, value in (
        ("files", f"{found.files:,}"),
        ("images", f"{found.images:,}"),
        *([("lost", f"{found.lost:,}, estimated from statistics or size")] if found.lost else []),
        *(("damaged", each) for each in found.damaged),
        *(("left out", each) for each in _few(found.left_out)),
        ("size", decimal(found.size)),
        ("decoded", f"the first {found.sampled:,} images: {formats}"),
        ("too small", f"{found.too_small:,} of these"),
        ("undecodable", f"{len(found.undecodable):,} of these"),
        *(("", each) for each in _few(found.undecodable)),
        ("shorter side", _pixels(found.shorter_side)),
        ("longer side", _pixels(found.longer_side)),
        ("fingerprint", found.fingerprint),
    ):
        table.add_row(name, Text(printable(value)))
    Console().print(table)


def _few(lines: list[str]) -> list[str]:
    return lines if len(lines) <= SHOWN else [*lines[:SHOWN], f"and {len(lines) - SHOWN:,} more"]


def _pixels(spread: Spread | None) -> str:
    return f"{spread.minimum} to {spread.maximum} px, median {spread.median:g}" if spread else "-"
