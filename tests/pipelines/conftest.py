"""Pipelines whose commands a small program stands for where only the order matters."""

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from diva.pipelines import work
from diva.pipelines.process import command_line
from diva.pipelines.run import run
from tests.fixtures.recipes import write_recipe_file

WritePipeline = Callable[..., str]
Go = Callable[..., None]
# a launcher is any program: this one makes the file that its last word names, unless the step's name says otherwise
MAKER = """
import sys
from pathlib import Path
out = Path(sys.argv[-1])
print("asked for", out.parent.name)
if out.parent.name == "broken": sys.exit("diva: no such thing")
if out.parent.name != "idle": out.write_text("{}")
"""
REPORTER = """
import sys
from pathlib import Path
out = Path(sys.argv[-1])
out.mkdir(exist_ok=True)
for name in ("report.html", "report.json"): (out / name).write_text("{}")
"""


@pytest.fixture
def maker(tmp_path: Path) -> str:
    """Return a launcher whose steps only make a file."""
    (tmp_path / "maker.py").write_text(MAKER)
    return shlex.join([sys.executable, str(tmp_path / "maker.py")])


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """Write a recipe whose training is never run."""
    return str(
        write_recipe_file(tmp_path / "tiny.yaml", tower=Path("tower"), teacher=Path("teacher"), source="images")
    )


@pytest.fixture
def write_pipeline(tmp_path: Path) -> WritePipeline:
    """Write a pipeline of the given steps, data and other fields."""

    def write(steps: dict[str, Any], data: dict[str, Any] | None = None, **fields: Any) -> str:
        path = tmp_path / "pipeline.yaml"
        path.write_text(yaml.safe_dump({"steps": steps, "data": data or {}, **fields}, sort_keys=False))
        return str(path)

    return write


@pytest.fixture
def go(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    """Run a pipeline in `out`, with commands that nobody checks and a report of two empty files."""
    reporter = tmp_path / "reporter.py"
    reporter.write_text(REPORTER)

    def command(launcher: Sequence[str], words: Sequence[str]) -> list[str]:
        return command_line([sys.executable, str(reporter)] if words[0] == "report" else launcher, words)

    monkeypatch.setattr(work, "command_line", command)

    def anything(_words: Sequence[str]) -> None:
        pass

    def run_it(pipeline: str, *overrides: str, **options: Any) -> None:
        run(recipe, overrides, tmp_path / "out", **{"pipeline": pipeline, "check": anything} | options)

    return run_it


def step(*needs: str, uses: str = "mmvp-vlm", **fields: Any) -> dict[str, Any]:
    """Return a step whose command names all that it needs."""
    options = {f"option-{number}": f"${{{need}}}" for number, need in enumerate(needs)}
    return {"uses": uses, "needs": list(needs), "with": options} | fields
