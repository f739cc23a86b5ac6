"""The whole suite on the miniature world."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def quickstart(
    out: Annotated[Path, typer.Option(help="folder for everything that is written")] = Path("runs/quickstart"),
    seed: Annotated[int, typer.Option(help="seed of the world and of training")] = 0,
) -> None:
    """Train and measure on the miniature world, in minutes on a CPU, without downloads."""
    from diva.cli.run import check_words
    from diva.miniworld.quickstart import run

    run(out, seed=seed, check=check_words)
