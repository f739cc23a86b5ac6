"""The procedural world, its miniature models, and the whole suite on them."""

from pathlib import Path
from typing import Annotated

import typer

from diva.cli.options import Device, libraries

app = typer.Typer(no_args_is_help=True, help="The procedural world and its miniature models.")


@app.command()
def write(
    out: Annotated[Path, typer.Option(help="new folder for the data sets")],
    seed: Annotated[int, typer.Option(help="seed of the world")] = 0,
    counts: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=NUMBER]...", help="number of images, pairs and so on")
    ] = None,
) -> None:
    """Write the world in every format that the suite reads."""
    from rich.console import Console
    from rich.text import Text

    from diva.miniworld.write import Counts, write_world
    from diva.recipes.load import validated, with_overrides

    write_world(out, seed=seed, counts=validated(with_overrides({}, counts or ()), "the world", Counts))
    written = ", ".join(sorted(path.name for path in out.iterdir()))
    Console(stderr=True).print(Text(f"{out}: {written}"), soft_wrap=True)


@app.command()
def pretrain(
    out: Annotated[Path, typer.Option(help="folder of the base")],
    seed: Annotated[int, typer.Option(help="seed of both models")] = 0,
    device: Device = "cpu",
) -> None:
    """Train a miniature CLIP and a miniature teacher from scratch, and check their gates."""
    from rich.console import Console

    with libraries():
        from diva.device import usable_device
        from diva_benchmarks.miniworld.command import run_pretrain

    run_pretrain(out, seed=seed, device=usable_device(device), console=Console())


@app.command()
def gates(base: Annotated[Path, typer.Argument(help="folder of a base")], device: Device = "cpu") -> None:
    """Check a base against the gates that a shipped one must pass."""
    from rich.console import Console

    with libraries():
        from diva.device import usable_device
        from diva_benchmarks.miniworld.command import run_gates

    run_gates(base, device=usable_device(device), console=Console())


@app.command()
def study(
    bases: Annotated[Path, typer.Option(help="folder with one subfolder per base of the plan")],
    out: Annotated[Path, typer.Option(help="folder for the rows and the table")],
    work: Annotated[Path, typer.Option(help="folder for intermediate files")] = Path("runs/miniworld-study"),
    processes: Annotated[int, typer.Option(help="number of runs in parallel, one core each")] = 1,
    plan: Annotated[Path | None, typer.Option(help="a plan of your own; the packaged one by default")] = None,
) -> None:
    """Run a study of the miniature world. A stopped study continues, on the bases that exist."""
    with libraries():
        from diva_benchmarks.miniworld.command import study as run

    run(bases, work, out, processes=processes, plan_file=plan)
