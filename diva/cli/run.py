"""A recipe from training to the report, as a pipeline says."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from diva.cli.options import ForTower, Overrides
from diva.errors import Invalid, Unknown, did_you_mean

app = typer.Typer()


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="packaged recipe such as diva/openai-vit-l14-224, or a YAML file")],
    overrides: Overrides = None,
    tower: ForTower = None,
    pipeline: Annotated[
        str | None,
        typer.Option(help="paper, quickstart or a YAML file; by default the one that is made for this recipe"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder of the run; default: runs/NAME")] = None,
    only: Annotated[str | None, typer.Option(help="run only these steps (comma-separated)")] = None,
    start: Annotated[str | None, typer.Option("--from", help="run this step and the later ones")] = None,
    jobs: Annotated[int, typer.Option(help="number of steps to run in parallel")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="list the steps and the missing files, and run nothing")
    ] = False,
) -> None:
    """Train, measure and report: run every step of a pipeline that is not done yet."""
    from diva.pipelines.run import run

    steps = [name.strip() for name in only.split(",")] if only else []
    run(
        recipe,
        overrides or (),
        out,
        tower=tower,
        pipeline=pipeline,
        only=steps,
        first=start,
        dry_run=dry_run,
        jobs=jobs,
        check=check_words,
    )


def check_words(words: Sequence[str]) -> None:
    """Check that `diva WORDS` would be understood, without running it.

    Raises:
        InputError: there is no such verb, option or argument.
    """
    from typer.exceptions import TyperException

    command, rest = _root(), list(words)
    while hasattr(command, "commands"):
        if not rest:
            raise Unknown(command.name, f"a verb is missing; {did_you_mean('', command.commands)}")
        found = command.get_command(None, rest[0])  # a group's own verbs, and the tasks that it finds
        if found is None:
            raise Unknown(command.name, f"there is no '{rest[0]}'; {did_you_mean(rest[0], command.commands)}")
        command, rest = found, rest[1:]
    try:
        command.make_context("diva", rest)
    except typer.Exit as error:
        raise Invalid(command.name, "--help and the like do nothing in a step; remove it") from error
    except TyperException as error:
        raise Invalid(command.name, error) from error


@cache
def _root() -> Any:
    import typer.main

    from diva.cli import app as root

    return typer.main.get_command(root)
