"""Everything that was measured, side by side."""

from pathlib import Path
from typing import Annotated

import typer

from diva.cli.options import Device, check_exists, libraries

app = typer.Typer()


@app.command()
def report(
    results: Annotated[list[Path], typer.Argument(help="results, metrics.jsonl, study.json, or folders of them")],
    out: Annotated[Path, typer.Option(help="folder for report.html, report.md and report.json")],
    published: Annotated[bool, typer.Option("--published", help="show the papers' figures beside these")] = False,
) -> None:
    """Write the report: everything that was measured, side by side, on one page."""
    for place in results:
        check_exists(place, "RESULTS")
    with libraries():
        from diva_benchmarks.report.command import run

    run(results, out, published)


@app.command()
def visualize(
    result: Annotated[Path, typer.Argument(help="result file of `diva bench mmvp --against`")],
    out: Annotated[Path, typer.Option(help="folder for the pictures and their index")],
    data: Annotated[Path | None, typer.Option(help="MMVP-VLM folder; default: the one of the result")] = None,
    run: Annotated[
        Path | None, typer.Option(help="training run whose teacher generates images from each tower's condition")
    ] = None,
    pairs: Annotated[int, typer.Option(help="pairs to show; changed ones come first")] = 8,
    steps: Annotated[int, typer.Option(help="DDIM steps")] = 50,
    guidance: Annotated[
        float, typer.Option(help="classifier-free guidance scale; 1 uses the condition alone")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="seed of the noise")] = 0,
    device: Device = "auto",
) -> None:
    """Show what training changed: pairs, patch tokens, and images from each tower's condition."""
    for path, option in ((result, "RESULT"), (data, "--data"), (run, "--run")):
        check_exists(path, option)
    with libraries():
        from diva.device import usable_device
        from diva.visualize.command import visualize as show

    place = usable_device(device)
    show(result, out, data=data, run=run, pairs=pairs, steps=steps, guidance=guidance, seed=seed, device=place)
