"""Options that several verbs share."""

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from diva.errors import Missing
from diva.progress import Phase, phase
from diva.tower_names import check_tower

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
Batch = Annotated[int, typer.Option(help="images per batch")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, …; auto takes a GPU if there is one")]
Torchscript = Annotated[
    bool, typer.Option("--allow-torchscript", help="also read TorchScript archives, which contain code")
]
ForTower = Annotated[
    str | None,
    typer.Option("--tower", help="name or path of the tower that METHOD or METHOD/VARIANT is composed for"),
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="recipe fields by dotted name")
]


def libraries() -> AbstractContextManager[Phase]:
    """Return the phase in which a verb imports what it needs: torch and what builds on it take seconds."""
    return phase("loading libraries")


def check_towers(
    tower: str,
    against: str | None = None,
    text_from: str | None = None,
    *,
    checkpoint: Path | None = None,
    against_checkpoint: Path | None = None,
    data: Path | None = None,
) -> None:
    """Check what `--tower`, `--against` and the like name before anything heavy is imported.

    Raises:
        InputError: a name is not a tower's and nothing lies there, or a file or a folder is missing.
    """
    for name, option in ((tower, "--tower"), (against, "--against"), (text_from, "--text-from")):
        if name is not None:
            check_tower(name, option)
    check_exists(checkpoint, "--checkpoint")
    check_exists(against_checkpoint, "--against-checkpoint")
    check_exists(data, "--data")


def check_exists(path: Path | None, where: str) -> None:
    """Check that something lies at `path`, before anything heavy is imported; `where` begins the sentence.

    Raises:
        InputError: nothing does.
    """
    if path is not None and not os.path.exists(path):  # Path's own raises on a long name
        raise Missing(where, path, "no such file or folder; check the path")
