"""`diva report`: everything that was measured, on one page."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from benchmarks.report.build import build
from benchmarks.report.render import render
from benchmarks.report.sources import read_sources
from diva.atomic import replacing
from diva.errors import InputError, RunError


def run(results: list[Path], out: Path, published: bool) -> None:
    """Write `report.html`, `report.md` and `report.json` into the folder `out`, and print the verdict.

    Args:
        results: result files, `metrics.jsonl`, `recipe.yaml`, `study.json`, or folders that hold them at any depth.
        published: whether the papers' figures are shown beside those measured here.

    Raises:
        InputError: a path does not exist or is of another kind, nothing was found, or `out` is a file.
        RunError: `out` cannot be written to.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"--out: {out} is a file; give the report's folder")
    content = build(read_sources(results), published=published)
    for name, text in render(content).items():
        _write(out / name, text)
    console = Console(soft_wrap=True)
    for verdict in content.verdicts:
        console.print(Text(f"{verdict.tower}: {verdict.sentence}"))
    for study in content.methods:
        console.print(Text(f"{study.path}: {study.sentence}"))
    for left_out in content.left_out:
        console.print(Text(f"left out: {left_out.what}: {left_out.reason}"))
    console.print(Text(f"The report is {out / 'report.html'}, with report.md and report.json beside it."))


def _write(path: Path, text: str) -> None:
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); give another folder") from error
