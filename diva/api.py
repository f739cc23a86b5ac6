"""What the suite does beside measuring, as functions; the command line is a user of them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diva.recipes import Recipe
    from diva.run_folder import MetricsLine, RunFolder


def train(
    recipe: "Recipe | str | Path",
    out: Path | str,
    *,
    tower: str | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    on_metrics: "Callable[[MetricsLine], None] | None" = None,
) -> "RunFolder":
    """Train a tower with diffusion feedback and return the run's folder.

    Args:
        recipe: a recipe, the name of a packaged one, or a YAML file.
        out: the folder of the run.
        tower: that METHOD or METHOD/VARIANT is composed for.
        overrides: fields of the recipe as `KEY=VALUE`.
        resume: continue from the newest whole checkpoint.
        on_metrics: called with each line of `metrics.jsonl`, on the main process.

    Raises:
        InputError: the recipe cannot be used, or `out` is in use or not ours.
        RunError: the run stopped.
    """
    from diva.recipes import Recipe, load_recipe
    from diva.run_folder import RunFolder
    from diva.training import train as run

    resolved = recipe if isinstance(recipe, Recipe) else load_recipe(str(recipe), list(overrides), tower)
    run(resolved, Path(out), resume=resume, on_metrics=on_metrics or (lambda _: None))
    return RunFolder(Path(out))


def export(
    checkpoint: Path | str,
    out: Path | str,
    *,
    to: str = "open_clip",
    base: Path | None = None,
    average: Sequence[float] = (),
) -> list[Path]:
    """Write a trained tower as open_clip, transformers, LLaVA or timm load it, and return the folders written.

    Args:
        checkpoint: a run's folder, its `tower/`, or any tower file or folder.
        out: the folder to write; with several averages, one folder for each is written in it.
        to: "open_clip", "transformers", "llava", or "timm" for an image tower that had no text tower.
        base: the weights that training started from, for averages; the recipe's unless given.
        average: shares of the trained tower, each giving one average with the base (WiSE-FT).

    Raises:
        InputError: an option, the tower or the base cannot be used; nothing has been written then.
    """
    from diva.exporting.command import export as run

    return run(Path(checkpoint), Path(out), to=to, base=base, average=average)


def report(results: Sequence[Path | str], out: Path | str, *, published: bool = False) -> Path:
    """Set results, runs and studies side by side in `out`, and return the page.

    Args:
        results: files, or folders that hold them at any depth.
        published: whether the papers' figures are shown beside those measured here.

    Raises:
        InputError: a path does not exist or is of another kind, or nothing was found.
    """
    from diva_benchmarks.report.command import write_report

    write_report([Path(place) for place in results], Path(out), published=published)
    return Path(out) / "report.html"
