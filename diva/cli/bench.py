"""Measure a tower, alone or against a baseline."""

from pathlib import Path
from typing import Annotated

import typer

from diva.cli.options import (
    Against,
    AgainstCheckpoint,
    Batch,
    Checkpoint,
    Device,
    TextFrom,
    Tower,
    check_towers,
    libraries,
)
from diva.cli.tasks import TaskGroup

app = typer.Typer(cls=TaskGroup, no_args_is_help=True, help="Measure a tower, alone or against a baseline.")


@app.command("throughput")
def throughput(
    recipes: Annotated[
        list[str], typer.Argument(metavar="RECIPE... [KEY=VALUE]...", help="recipes, and their fields")
    ],
    batch: Annotated[str, typer.Option(help="comma-separated list of images per update and process")] = "16",
    options: Annotated[
        str,
        typer.Option(
            help="comma-separated list of plain, cached, compiled, checkpoint-unet, checkpoint-both; + joins"
        ),
    ] = "plain",
    baseline: Annotated[
        bool, typer.Option("--baseline", help="also time the published code's schedule, without our options")
    ] = False,
    random_weights: Annotated[
        bool,
        typer.Option(
            "--random-weights", help="build tower and teacher with random weights, from their configurations"
        ),
    ] = False,
    shards: Annotated[int | None, typer.Option(help="generate this many shards of images as data")] = None,
    updates: Annotated[int, typer.Option(help="updates (for data: batches) that are timed")] = 10,
    warmup: Annotated[int, typer.Option(help="warm-up updates")] = 3,
    stage: Annotated[str, typer.Option(help="all, or data for the loader alone")] = "all",
    out: Annotated[Path | None, typer.Option(help="folder for the result files")] = None,
) -> None:
    """Speed of a training step: images/s, share of the device's peak, memory, and where the time goes."""
    with libraries():
        from diva_benchmarks.throughput.bench import Setting
        from diva_benchmarks.throughput.command import run

    overrides = [word for word in recipes if "=" in word]
    setting = Setting(
        overrides=overrides,
        random_weights=random_weights,
        shards=shards,
        updates=updates,
        warmup=warmup,
        out=out,
    )
    names = [word for word in recipes if "=" not in word]
    run(names, setting, batch=batch, options=options, baseline=baseline, stage=stage)


@app.command("zero-shot")
def zero_shot(
    tower: Tower,
    data: Annotated[Path, typer.Option(help="folder with one subfolder per set")],
    against: Against = None,
    checkpoint: Checkpoint = None,
    text_from: TextFrom = None,
    against_checkpoint: AgainstCheckpoint = None,
    sets: Annotated[str | None, typer.Option(help="comma-separated names; default: all 29")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for the result files, or the summary's file")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="folder for embeddings; beside the results unless given")
    ] = None,
    batch: Batch = 64,
    device: Device = "auto",
    margin: Annotated[float, typer.Option(help="loss in points that still counts as preserved")] = 1.0,
) -> None:
    """Zero-shot classification and retrieval: is the tower's ability preserved?"""
    check_towers(tower, against, text_from, checkpoint=checkpoint, against_checkpoint=against_checkpoint, data=data)
    with libraries():
        from diva_benchmarks.zero_shot.command import run

    run(
        tower,
        against=against,
        checkpoint=checkpoint,
        against_checkpoint=against_checkpoint,
        data=data,
        sets=sets,
        out=out,
        cache=cache,
        batch=batch,
        device=device,
        margin=margin,
        text_from=text_from,
    )
