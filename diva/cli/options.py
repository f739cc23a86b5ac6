"""Options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

Tower = Annotated[
    str, typer.Option(help="zoo name (`diva zoo` lists them), open_clip architecture or folder, or any tower file")
]
Against = Annotated[str | None, typer.Option(help="baseline tower, measured on the same data")]
Checkpoint = Annotated[Path | None, typer.Option(help="weights file of --tower")]
TextFrom = Annotated[
    str | None,
    typer.Option(help="whole model that --tower, an image tower alone, was trained from; it gives the text"),
]
AgainstCheckpoint = Annotated[Path | None, typer.Option(help="weights file of --against")]
Batch = Annotated[int, typer.Option(help="images encoded at once")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, …; auto is a GPU where there is one")]
Torchscript = Annotated[bool, typer.Option("--allow-torchscript", help="also read archives that carry code")]
ForTower = Annotated[
    str | None,
    typer.Option("--tower", help="name or path of the tower that METHOD or METHOD/VARIANT is composed for"),
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="recipe fields by dotted name")
]
