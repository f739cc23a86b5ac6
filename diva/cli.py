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
towers = typer.Typer(no_args_is_help=True, help="Look at tower files.")
miniworld = typer.Typer(no_args_is_help=True, help="The procedural world and its miniature models.")
for name, group in (("bench", bench), ("data", data), ("towers", towers), ("miniworld", miniworld)):
    app.add_typer(group, name=name)

Tower = Annotated[str, typer.Option(help="zoo name, open_clip architecture or folder, or any tower file")]
Against = Annotated[str | None, typer.Option(help="baseline tower, measured on the same data")]
Checkpoint = Annotated[Path | None, typer.Option(help="weights file of --tower")]
AgainstCheckpoint = Annotated[Path | None, typer.Option(help="weights file of --against")]
Batch = Annotated[int, typer.Option(help="images encoded at once")]
Device = Annotated[str, typer.Option(help="torch device")]
Torchscript = Annotated[bool, typer.Option("--allow-torchscript", help="also read archives that carry code")]
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


@app.command()
def export(
    checkpoint: Annotated[
        Path, typer.Argument(help="run folder, its tower/, a delta, or any tower file or folder")
    ],
    out: Annotated[Path, typer.Option(help="folder to write")],
    to: Annotated[str | None, typer.Option(help="open_clip, transformers or llava")] = None,
    average: Annotated[
        str | None, typer.Option(help="share of the trained tower, or a comma list (WiSE-FT)")
    ] = None,
    base: Annotated[Path | None, typer.Option(help="weights that training started from")] = None,
    delta: Annotated[str | None, typer.Option(help="write the difference to --base: bf16 or float32")] = None,
    push_to_hub: Annotated[str | None, typer.Option(help="hub repository to upload to")] = None,
    allow_torchscript: Torchscript = False,
) -> None:
    """Write a tower as open_clip, transformers or LLaVA load it."""
    from diva.export.average import read_shares
    from diva.export.command import export as run

    run(
        checkpoint,
        out,
        to=to,
        base=base,
        average=read_shares(average) if average else (),
        delta=delta,
        push_to_hub=push_to_hub,
        allow_torchscript=allow_torchscript,
    )


@app.command()
def report(
    results: Annotated[list[Path], typer.Argument(help="result files, metrics.jsonl, or folders that hold them")],
    out: Annotated[Path, typer.Option(help="folder for report.html, report.md and report.json")],
    published: Annotated[bool, typer.Option("--published", help="show the papers' figures beside these")] = False,
) -> None:
    """Set everything that was measured side by side."""
    from benchmarks.report.command import run

    run(results, out, published)


@app.command()
def quickstart(
    out: Annotated[Path, typer.Option(help="folder for everything that it makes")] = Path("runs/quickstart"),
    seed: Annotated[int, typer.Option(help="of the world and of the training")] = 0,
) -> None:
    """Train and measure on the miniature world: on a CPU, without a download, in minutes."""
    from diva.miniworld.quickstart import run

    run(out, seed=seed)


@bench.command("mmvp")
def bench_mmvp(
    tower: Tower,
    data: Annotated[Path, typer.Option(help="the MMVP-VLM folder, with Questions.csv")],
    against: Against = None,
    checkpoint: Checkpoint = None,
    against_checkpoint: AgainstCheckpoint = None,
    out: Annotated[Path | None, typer.Option(help="result file to write")] = None,
    protocol: Annotated[str, typer.Option(help="pooled, or one of DIVA's published ones")] = "pooled",
    seeds: Annotated[int, typer.Option(help="draws of a random protocol")] = 5,
    batch: Batch = 32,
    device: Device = "cpu",
) -> None:
    """MMVP-VLM: nine visual patterns, scored by pairs."""
    from benchmarks.mmvp_vlm.command import run

    run(tower, against, checkpoint, against_checkpoint, data, out, protocol, seeds, batch, device)


@bench.command("zero-shot")
def bench_zero_shot(
    tower: Tower,
    data: Annotated[Path, typer.Option(help="folder that holds a folder for each set")],
    against: Against = None,
    checkpoint: Checkpoint = None,
    against_checkpoint: AgainstCheckpoint = None,
    sets: Annotated[str | None, typer.Option(help="comma-separated names; the 29 unless given")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for the result files, or the summary's file")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="folder for embeddings; beside the results unless given")
    ] = None,
    batch: Batch = 64,
    device: Device = "cpu",
    margin: Annotated[float, typer.Option(help="loss in points that still counts as preserved")] = 1.0,
) -> None:
    """Zero-shot classification and retrieval: is the tower's ability preserved?"""
    from benchmarks.zero_shot.command import run

    run(tower, against, checkpoint, against_checkpoint, data, sets, out, cache, batch, device, margin)


@towers.command("inspect")
def towers_inspect(
    file: Annotated[Path, typer.Argument(help="tower file or folder")], allow_torchscript: Torchscript = False
) -> None:
    """Say what a tower file is: format, architecture, activation, hash."""
    from diva.towers.inspect import inspect_tower, print_inspection

    print_inspection(inspect_tower(file, allow_torchscript=allow_torchscript))


@miniworld.command("write")
def miniworld_write(
    out: Annotated[Path, typer.Option(help="new folder for the data sets")],
    seed: Annotated[int, typer.Option(help="of the world")] = 0,
) -> None:
    """Write the world in every format that the suite reads."""
    from rich.console import Console

    from diva.miniworld.command import run_write
    from diva.miniworld.write import Counts

    run_write(out, seed=seed, counts=Counts(), console=Console(stderr=True))


@miniworld.command("pretrain")
def miniworld_pretrain(
    out: Annotated[Path, typer.Option(help="folder of the base")],
    seed: Annotated[int, typer.Option(help="of both models")] = 0,
    device: Device = "cpu",
) -> None:
    """Train a miniature CLIP and a miniature teacher from nothing, and measure their gates."""
    from rich.console import Console

    from diva.miniworld.command import run_pretrain

    run_pretrain(out, seed=seed, device=device, console=Console())


@miniworld.command("gates")
def miniworld_gates(base: Annotated[Path, typer.Argument(help="folder of a base")], device: Device = "cpu") -> None:
    """Measure whether a base may ship."""
    from rich.console import Console

    from diva.miniworld.command import run_gates

    run_gates(base, device=device, console=Console())


@data.command("inspect")
def data_inspect(source: Annotated[str, typer.Argument(help="folder, shard pattern or datasets folder")]) -> None:
    """Say what a training source holds and whether its images can be read."""
    from diva.data.show import print_inspection

    print_inspection(source)


if __name__ == "__main__":
    main()
