"""`diva report`: everything that was measured, on one page."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from diva.atomic import check_file, replacing
from diva.errors import InputError, printable
from diva_benchmarks.report.build import build
from diva_benchmarks.report.content import Content
from diva_benchmarks.report.render import render
from diva_benchmarks.report.sources import read_sources

FILES = ("report.html", "report.md", "report.json")


def run(results: list[Path], out: Path, published: bool) -> None:
    """Write the report, and print the verdict; arguments and errors are those of `write_report`."""
    content = write_report(results, out, published=published)
    console = Console(soft_wrap=True)
    for verdict in content.verdicts:
        console.print(Text(printable(f"{verdict.tower}: {verdict.sentence}")))
    for section in content.sections:
        for sentence in section.sentences:
            console.print(Text(printable(sentence)))
    for left_out in content.left_out:
        console.print(Text(printable(f"left out: {left_out.what}: {left_out.reason}")))
    console.print(Text(printable(f"The report is {out / FILES[0]}, with report.md and report.json beside it.")))


def write_report(results: list[Path], out: Path, *, published: bool) -> Content:
    """Write `report.html`, `report.md` and `report.json` into the folder `out`, and return what they say.

    Args:
        results: result files, `metrics.jsonl`, `recipe.yaml`, `study.json`, or folders that hold them at any depth.
        published: whether the papers' figures are shown beside those measured here.

    Raises:
        InputError: a path does not exist or is of another kind, nothing was found, or `out` is a file.
        RunError: `out` cannot be written to.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"--out: {out} is not a folder; give the report's folder")
    for name in FILES:
        check_file(out / name)
    content = build(read_sources(results), published=published)
    texts = render(content)
    for name in FILES:
        with replacing(out / name) as temporary:
            temporary.write_text(
                texts[name], encoding="utf-8", errors="backslashreplace"
            )  # names that are not UTF-8
    return content
