"""Segmentation on top of a tower."""

from pathlib import Path
from typing import Annotated

import typer

from diva.cli.options import Against, AgainstCheckpoint, Checkpoint, Tower, check_towers, libraries

app = typer.Typer(no_args_is_help=True, help="Segmentation with a tower: train heads, measure, compare.")

Data = Annotated[Path, typer.Option(help="folder that contains the data set's official folder")]
Crop = Annotated[int | None, typer.Option(help="side of the pictures in pixels; about 512, for SAN 640")]
Fields = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="fields of mmengine's config by dotted name, such as optim_wrapper.optimizer.lr=0.0005",
    ),
]
Workers = Annotated[int, typer.Option(help="processes that load data; 0 loads in the main one")]


@app.command()
def train(
    tower: Tower,
    head: Annotated[str, typer.Option(help="linear, upernet or san")],
    dataset: Annotated[str, typer.Option(help="ade20k, pascal-context-59, pascal-context-60 or coco-stuff-164k")],
    data: Data,
    out: Annotated[Path, typer.Option(help="folder of the run")],
    checkpoint: Checkpoint = None,
    schedule: Annotated[str, typer.Option(help="20k, 40k, 80k or 160k iterations")] = "20k",
    iterations: Annotated[int | None, typer.Option(help="number of iterations, instead of the schedule's")] = None,
    crop: Crop = None,
    batch: Annotated[int, typer.Option(help="images per iteration, over all processes")] = 16,
    workers: Workers = 4,
    seed: Annotated[int, typer.Option(help="seed of the head's weights and of the order of the data")] = 0,
    finetune: Annotated[bool, typer.Option("--finetune", help="train the tower too, with layer decay")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="continue from the newest checkpoint")] = False,
    overrides: Fields = None,
) -> None:
    """Train a segmentation head on a tower."""
    check_towers(tower, checkpoint=checkpoint, data=data)
    with libraries():
        from diva_downstream.segmentation.command import Sizes
        from diva_downstream.segmentation.command import train as run

    run(
        tower,
        checkpoint=checkpoint,
        head=head,
        dataset=dataset,
        data=data,
        out=out,
        schedule=schedule,
        sizes=Sizes(iterations, crop, batch, workers),
        seed=seed,
        overrides=overrides or (),
        finetune=finetune,
        resume=resume,
    )


@app.command("eval")
def evaluate(
    tower: Annotated[str, typer.Option(help="folder of `diva seg train`, or a tower to measure without training")],
    data: Data,
    against: Against = None,
    checkpoint: Checkpoint = None,
    against_checkpoint: AgainstCheckpoint = None,
    dataset: Annotated[str | None, typer.Option(help="as for train, ade20k-847 or pascal-context-459")] = None,
    out: Annotated[
        Path | None, typer.Option(help="result file to write; a sheet of pictures goes beside it")
    ] = None,
    crop: Crop = None,
    workers: Workers = 4,
    overrides: Fields = None,
) -> None:
    """Measure the segmentation of one tower, or of two side by side."""
    check_towers(tower, against, checkpoint=checkpoint, against_checkpoint=against_checkpoint, data=data)
    with libraries():
        from diva_downstream.segmentation.command import Sizes, measure

    sizes = Sizes(crop=crop, workers=workers)
    measure(
        tower,
        checkpoint=checkpoint,
        against=against,
        against_checkpoint=against_checkpoint,
        dataset=dataset,
        data=data,
        out=out,
        sizes=sizes,
        overrides=overrides or (),
    )
