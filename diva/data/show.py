"""What a source holds, for the terminal."""

from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from diva.data.inspection import Spread, inspect
from diva.data.resolve import open_source


def print_inspection(spec: str) -> None:
    """Print what the source `spec` holds.

    Raises:
        InputError: there is no such source.
    """
    found = inspect(open_source(spec))
    table = Table(title=f"{found.spec} ({found.kind})", box=box.SIMPLE, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(overflow="fold")
    formats = ", ".join(f"{count} {name}" for name, count in found.formats.items()) or "none"
    for name, value in (
        ("files", f"{found.files:,}"),
        ("images", f"{found.images:,}"),
        ("size", decimal(found.size)),
        ("looked at", f"the first {found.sampled:,} images: {formats}"),
        ("too small", f"{found.too_small:,} of these"),
        ("undecodable", f"{found.undecodable:,} of these"),
        ("shorter side", _pixels(found.shorter_side)),
        ("longer side", _pixels(found.longer_side)),
        ("fingerprint", found.fingerprint),
    ):
        table.add_row(name, value)
    Console().print(table)


def _pixels(spread: Spread | None) -> str:
    return f"{spread.minimum} to {spread.maximum} px, median {spread.median:g}" if spread else "-"
