"""Pairs of images: what a gain on them is made of, and where new ones come from."""

from pathlib import Path
from typing import Annotated

import typer

from diva.cli.options import Batch, Device, check_exists, check_towers, libraries
from diva.tower_names import check_tower

app = typer.Typer(no_args_is_help=True, help="Split a gain on image pairs into its causes; find or generate pairs.")

GENERATED = 300  # a stream of the world that neither training nor `diva miniworld write` draws from


@app.command()
def account(
    trained: Annotated[Path, typer.Argument(help="result file of the trained tower, as it is quoted")],
    baseline: Annotated[Path, typer.Option(help="result file of the baseline")],
    same_feature: Annotated[
        Path | None,
        typer.Option(help="trained tower's result by the baseline's protocol, where the quoted differs"),
    ] = None,
    unadapted: Annotated[
        Path | None, typer.Option(help="trained tower's result without --adapt, where the quoted one has it")
    ] = None,
    looks: Annotated[
        list[Path] | None,
        typer.Option(help="result files of all towers that TRAINED was chosen from; repeat the option"),
    ] = None,
    checkpoints: Annotated[
        Path | None, typer.Option(help="run that kept its towers (training.keep_towers); each counts as a look")
    ] = None,
    rule: Annotated[str | None, typer.Option(help="quoted score; the result's headline unless given")] = None,
    baseline_rule: Annotated[
        str | None, typer.Option(help="score of the baseline, if it is quoted by another one")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder for account.json, which `diva report` shows")] = None,
    batch: Batch = 32,
    device: Device = "auto",
) -> None:
    """Split a quoted difference into tower, feature, rule, adaptation, and choice on the test set."""
    check_exists(checkpoints, "--checkpoints")
    with libraries():
        from diva_benchmarks.pairs.command import run

    run(
        trained,
        baseline=baseline,
        same_feature=same_feature,
        unadapted=unadapted,
        looks=looks or (),
        checkpoints=checkpoints,
        rule=rule,
        baseline_rule=baseline_rule,
        out=out,
        batch=batch,
        device=device,
    )


@app.command()
def mine(
    images: Annotated[str, typer.Argument(help="folder of images or shards, shard pattern, or saved dataset")],
    tower: Annotated[str, typer.Option(help="tower that finds the images alike, as for `diva bench`")],
    other: Annotated[
        str, typer.Option(help="a model that tells them apart: another tower, or a local DINOv2 or DINOv3 folder")
    ],
    out: Annotated[Path, typer.Option(help="new folder: pairs.jsonl to complete, sheet.html to look at, images")],
    above: Annotated[float, typer.Option(help="least cosine by --tower")] = 0.95,
    below: Annotated[float, typer.Option(help="greatest cosine by --other")] = 0.6,
    pairs: Annotated[
        int, typer.Option(help="largest number of pairs; those that differ most come first", min=1)
    ] = 300,
    batch: Batch = 64,
    device: Device = "auto",
) -> None:
    """Find images that a tower confuses and another model tells apart, as MMVP's authors did."""
    check_towers(tower)
    check_tower(other, "--other")
    with libraries():
        from diva_benchmarks.pairs.mine import run

    run(
        images,
        tower=tower,
        other=other,
        out=out,
        above=above,
        below=below,
        pairs=pairs,
        batch=batch,
        device=device,
    )


@app.command()
def generate(
    out: Annotated[Path, typer.Option(help="new folder for pairs.jsonl and its images")],
    pairs: Annotated[int, typer.Option(help="pairs per pattern; there are nine", min=1)] = 5000,
    seed: Annotated[int, typer.Option(help="seed of the world")] = 0,
) -> None:
    """Generate pairs of the miniature world, in any number, with known answers."""
    with libraries():
        from diva.atomic import new_folder
        from diva.miniworld.writers import write_pairs

    with new_folder(out) as content:
        write_pairs(content, pairs=pairs, key=(seed, GENERATED))
