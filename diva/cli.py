"""The `diva` command: parses, calls, prints. A verb imports what it needs when it runs."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from diva import __version__
from diva.errors import InputError, RunError

app = typer.Typer(
    name="diva",
    help="Post-train CLIP-style image towers with diffusion feedback, and measure what changed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
bench = typer.Typer(no_args_is_help=True, help="Measure a tower, alone or against a baseline.")
data = typer.Typer(no_args_is_help=True, help="Look at training data.")
app.add_typer(bench, name="bench")
app.add_typer(data, name="data")

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="recipe fields by dotted name")
]


def main() -> None:
    """Run the command line; exit status 2 for input that cannot be used, 1 for a run that failed."""
    try:
        app()
    except InputError as error:
        _fail(str(error), 2)
    except RunError as error:
        _fail(str(error), 1)


def _fail(sentence: str, status: int) -> None:
    print(f"diva: {sentence}", file=sys.stderr)  # noqa: T201
    sys.exit(status)


@app.callback(invoke_without_command=True)
def _version(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="print the version")] = False
) -> None:
    if version:
        typer.echo(f"diva {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="packaged recipe such as diva/openai-vit-l14-224, or a YAML file")],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="folder of the run; runs/NAME unless given")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on from the newest complete checkpoint")] = False,
) -> None:
    """Train a tower with diffusion feedback."""
    from diva.recipes import load_recipe

    resolved = load_recipe(recipe, overrides or ())
    from diva.training import train as run

    run(resolved, out or Path("runs") / resolved.name, resume=resume)


@app.command()
def zoo() -> None:
    """List the published towers with their checkpoints and published scores."""
    from diva.towers.show import print_zoo

    print_zoo()


@bench.command("mmvp")
def bench_mmvp(
    tower: Annotated[str, typer.Option(help="zoo name, open_clip architecture or folder, or any tower file")],
    data: Annotated[Path, typer.Option(help="the MMVP-VLM folder, with Questions.csv")],
    against: Annotated[str | None, typer.Option(help="baseline tower, measured on the same pairs")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="weights file of --tower")] = None,
    against_checkpoint: Annotated[Path | None, typer.Option(help="weights file of --against")] = None,
    out: Annotated[Path | None, typer.Option(help="result file to write")] = None,
    protocol: Annotated[str, typer.Option(help="pooled, or one of DIVA's published ones")] = "pooled",
    seeds: Annotated[int, typer.Option(help="draws of a random protocol")] = 5,
    batch: Annotated[int, typer.Option(help="images encoded at once")] = 32,
    device: Annotated[str, typer.Option(help="torch device")] = "cpu",
) -> None:
    """MMVP-VLM: nine visual patterns, scored by pairs."""
    from benchmarks.mmvp_vlm.command import run

    run(tower, against, checkpoint, against_checkpoint, data, out, protocol, seeds, batch, device)


@data.command("inspect")
def data_inspect(source: Annotated[str, typer.Argument(help="folder, shard pattern or datasets folder")]) -> None:
    """Say what a training source holds and whether its images can be read."""
    from diva.data.show import print_inspection

    print_inspection(source)


if __name__ == "__main__":
    main()
