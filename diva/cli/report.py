"""Everything that was measured, side by side."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def report(
    results: Annotated[list[Path], typer.Argument(help="result files, metrics.jsonl, or folders that hold them")],
    out: Annotated[Path, typer.Option(help="folder for report.html, report.md and report.json")],
    published: Annotated[bool, typer.Option("--published", help="show the papers' figures beside these")] = False,
) -> None:
    """Set everything that was measured side by side."""
    from benchmarks.report.command import run

    run(results, out, published)
