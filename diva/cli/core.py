"""Train a tower, look at what goes in, hand on what comes out."""

from pathlib import Path
from typing import Annotated

import typer

from diva.cli.options import ForTower, Overrides, Torchscript, check_exists, libraries
from diva.errors import Mismatch
from diva.tower_names import check_tower

app = typer.Typer()
data = typer.Typer(no_args_is_help=True, help="Inspect training data, or prepare it.")
towers = typer.Typer(no_args_is_help=True, help="Inspect tower files.")
app.add_typer(data, name="data")
app.add_typer(towers, name="towers")


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="packaged recipe such as diva/openai-vit-l14-224, or a YAML file")],
    overrides: Overrides = None,
    tower: ForTower = None,
    out: Annotated[Path | None, typer.Option(help="folder of the run; default: runs/NAME")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="continue from the newest complete checkpoint")] = False,
    trial: Annotated[
        bool,
        typer.Option(
            "--trial", help="make a few small updates, keep nothing, and estimate time and memory of the run"
        ),
    ] = False,
) -> None:
    """Train a tower with diffusion feedback."""
    from diva.recipes import load_recipe
    from diva.recipes.places import check_places
    from diva.run_folder import RunFolder

    resolved = load_recipe(recipe, overrides or (), tower)
    folder = out or Path("runs") / resolved.name
    if trial or not RunFolder(folder).tower.exists():  # a run that has ended may have lost its data
        check_tower(resolved.tower.name, "tower.name")
        check_places(resolved)
    if trial and resume:
        raise Mismatch("--trial", "starts anew and keeps nothing; leave out --resume")
    with libraries():
        from diva.training import train as run

    if trial:
        from rich.console import Console

        from diva.training.trial import try_out

        try_out(resolved, folder, console=Console(stderr=True))
    else:
        run(resolved, folder, resume=resume)


@app.command()
def zoo() -> None:
    """List the published towers with their checkpoints and published scores."""
    with libraries():
        from diva.towers.show import print_zoo

    print_zoo()


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="run folder, its tower/, or any tower file or folder")],
    out: Annotated[Path, typer.Option(help="folder to write")],
    to: Annotated[str, typer.Option(help="open_clip, transformers, llava or timm")],
    average: Annotated[
        str | None,
        typer.Option(help="average with the base (WiSE-FT): the trained tower's share, or a comma-separated list"),
    ] = None,
    base: Annotated[
        Path | None, typer.Option(help="weights that training started from; default: the recipe's beside the tower")
    ] = None,
    push_to_hub: Annotated[str | None, typer.Option(help="hub repository to upload to")] = None,
    allow_torchscript: Torchscript = False,
) -> None:
    """Export a tower for open_clip, transformers, LLaVA or timm."""
    check_exists(checkpoint, "CHECKPOINT")
    check_exists(base, "--base")
    from rich.console import Console

    with libraries():
        from diva.exporting.average import read_shares
        from diva.exporting.command import export as run

    run(
        checkpoint,
        out,
        to=to,
        base=base,
        average=read_shares(average) if average else (),
        push_to_hub=push_to_hub,
        allow_torchscript=allow_torchscript,
        console=Console(stderr=True),
    )


@towers.command("inspect")
def towers_inspect(
    file: Annotated[Path, typer.Argument(help="tower file or folder")], allow_torchscript: Torchscript = False
) -> None:
    """Show what a tower file is: format, architecture, activation, hash."""
    check_exists(file, "FILE")
    with libraries():
        from diva.towers.inspect import inspect_tower, print_inspection

    print_inspection(inspect_tower(file, allow_torchscript=allow_torchscript))


@towers.command("check")
def towers_check(
    names: Annotated[
        list[str] | None, typer.Argument(help="architectures of open_clip or timm, files or folders; default: all")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Markdown page whose table is replaced")] = None,
) -> None:
    """Check towers against their libraries: tokens, preprocessing, export, LLaVA, one training step."""
    with libraries():
        from diva.conformance.command import check_towers
        from diva_downstream.llava.conformance import generates

    check_towers(names or (), out, generates)


@data.command("cache-latents")
def data_cache_latents(
    recipe: Annotated[str, typer.Argument(help="recipe whose teacher, tower and images the cache is for")],
    out: Annotated[Path, typer.Option(help="folder of the cache; a part that is there is completed")],
    overrides: Overrides = None,
    tower: ForTower = None,
    crops: Annotated[
        int, typer.Option(help="random crops stored of each image; the passes of a run read them in turn")
    ] = 1,
    pixels: Annotated[
        str, typer.Option(help="the tower's input as uint8, or as jpeg at a fifth of the space")
    ] = "uint8",
    batch: Annotated[int, typer.Option(help="images per batch")] = 16,
) -> None:
    """Compute the VAE's latents and the tower's input once, for runs with data.latents."""
    from rich.console import Console

    from diva.recipes import load_recipe
    from diva.recipes.places import check_places

    resolved = load_recipe(recipe, overrides or (), tower)
    check_tower(resolved.tower.name, "tower.name")
    check_places(resolved, teacher=True, cached=False)
    with libraries():
        from diva.training.caching import cache_latents

    cache_latents(resolved, out, crops=crops, pixels=pixels, batch=batch, console=Console(stderr=True))


@data.command("judge")
def data_judge(
    recipe: Annotated[
        str, typer.Argument(help="recipe of the method verdicts: its teacher, statements and images")
    ],
    out: Annotated[Path, typer.Option(help="folder of the verdicts; a part that is there is completed")],
    overrides: Overrides = None,
    tower: ForTower = None,
    pixels: Annotated[
        str, typer.Option(help="the tower's input as uint8, or as jpeg at a fifth of the space")
    ] = "uint8",
    batch: Annotated[int, typer.Option(help="images per batch")] = 16,
    benchmark: Annotated[
        Path | None, typer.Option(help="folder of a benchmark; warn where its statements would be taught")
    ] = None,
) -> None:
    """Let a teacher judge which statements are true of each image, for runs with data.verdicts."""
    from rich.console import Console

    from diva.recipes import load_recipe
    from diva.recipes.places import check_places

    check_exists(benchmark, "--benchmark")
    resolved = load_recipe(recipe, overrides or (), tower)
    check_tower(resolved.tower.name, "tower.name")
    check_places(resolved, teacher=True, cached=False)
    with libraries():
        from diva.training.judging import judge

    judge(resolved, out, pixels=pixels, batch=batch, benchmark=benchmark, console=Console(stderr=True))


@data.command("inspect")
def data_inspect(
    source: Annotated[str, typer.Argument(help="folder of images or shards, shard pattern, or saved dataset")],
) -> None:
    """Show what a training source contains, and check that its images can be read."""
    from diva.recipes.places import check_images

    check_images(source)
    with libraries():
        from diva.data.show import print_inspection

    print_inspection(source)
