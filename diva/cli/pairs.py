"""Pairs of images: what a gain on them is made of, and where new ones come from."""

from pathlib import Path
from typing import Annotated

import typer

from diva.cli.options import Batch, Device, check_exists, check_towers, libraries
from diva.tower_names import check_tower

app = typer.Typer(no_args_is_help=True, help="Pairs of images: what a gain is made of, and new ones.")

GENERATED = 300  # a stream of the world that neither training nor `diva miniworld write` draws from


@app.command()
def account(
    trained: Annotated[Path, typer.Argument(help="result file of the trained tower, as it is quoted")],
    baseline: Annotated[Path, typer.Option(help="result file that it is compared with")],
    same_feature: Annotated[
        Path | None,
        typer.Option(help="trained tower's result by the baseline's protocol, where the quoted differs"),
    ] = None,
    unadapted: Annotated[
        Path | None, typer.Option(help="trained tower's result without --adapt, where the quoted one has it")
    ] = None,
    looks: Annotated[
        list[Path] | None,
        typer.Option(help="result files of all towers of which TRAINED is the chosen one; repeat"),
    ] = None,
    checkpoints: Annotated[
        Path | None, typer.Option(help="run that kept its towers (training.keep_towers): they are the looks")
    ] = None,
    rule: Annotated[str | None, typer.Option(help="quoted score; the result's headline unless given")] = None,
    baseline_rule: Annotated[str | None, typer.Option(help="the baseline's, where it is another")] = None,
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
    images: Annotated[str, typer.Argument(help="folder, shard pattern or datasets folder")],
    tower: Annotated[str, typer.Option(help="the tower that takes the images for alike, as for `diva bench`")],
    other: Annotated[
        str, typer.Option(help="a model that tells them apart: another tower, or a local DINOv2 or DINOv3 folder")
    ],
    out: Annotated[Path, typer.Option(help="new folder: pairs.jsonl to complete, sheet.html to look at, images")],
    above: Annotated[float, typer.Option(help="least cosine by --tower")] = 0.95,
    below: Annotated[float, typer.Option(help="greatest cosine by --other")] = 0.6,
    pairs: Annotated[int, typer.Option(help="pairs at most, those that differ most first", min=1)] = 300,
    batch: Batch = 64,
    device: Device = "auto",
) -> None:
    """Find images that a tower does not tell apart and another model does, as MMVP's authors did."""
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
    pairs: Annotated[int, typer.Option(help="pairs of each of the nine patterns", min=1)] = 5000,
    seed: Annotated[int, typer.Option(help="of the world")] = 0,
) -> None:
    """Write pairs of the miniature world: as many as a question needs, with known answers."""
    with libraries():
        from diva.atomic import new_folder
        from diva.miniworld.writers import write_pairs

    with new_folder(out) as content:
        write_pairs(content, pairs=pairs, key=(seed, GENERATED))
