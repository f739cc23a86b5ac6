"""Pairs of images: what a gain on them is made of, and finding new ones."""

from pathlib import Path
from typing import Annotated

import typer

from diva.cli.options import Batch, Device, check_exists

app = typer.Typer(no_args_is_help=True, help="Pairs of images: what a gain is made of, and finding new ones.")


@app.command()
def account(
    trained: Annotated[Path, typer.Argument(help="result file of the trained tower, as it is quoted")],
    baseline: Annotated[Path, typer.Option(help="result file that it is compared with")],
    same_feature: Annotated[
        Path | None,
        typer.Option(help="trained tower's result by the baseline's protocol, where the quoted differs"),
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
    """Split a quoted difference into tower, feature, rule, and choice on the test set."""
    check_exists(checkpoints, "--checkpoints")
    from diva_benchmarks.pairs.command import run

    run(
        trained,
        baseline=baseline,
        same_feature=same_feature,
        looks=looks or (),
        checkpoints=checkpoints,
        rule=rule,
        baseline_rule=baseline_rule,
        out=out,
        batch=batch,
        device=device,
    )
