"""Recipes with a pipeline, whose commands a small program stands for where only the order matters."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diva.recipes import Recipe, load_recipe
from tests.fixtures.recipes import write_recipe_file

WriteRecipe = Callable[..., Path]
# a launcher is any program: this one makes the file that its last word names, unless that says "broken"
MAKER = """
import sys
from pathlib import Path
out = Path(sys.argv[-1])
print("asked for", out.name)
if out.name == "broken.json": sys.exit("diva: no such thing")
if out.name != "nothing.json": out.write_text("{}")
"""


@pytest.fixture
def maker(tmp_path: Path) -> str:
    """Return a launcher whose stages only make a file."""
    (tmp_path / "maker.py").write_text(MAKER)
    return shlex.join([sys.executable, str(tmp_path / "maker.py")])


@pytest.fixture
def write_pipeline(tmp_path: Path) -> WriteRecipe:
    """Write a recipe of the given stages and data; its training is never run."""

    def write(stages: dict[str, Any], data: dict[str, Any] | None = None, **fields: Any) -> Path:
        pipeline = {"stages": stages, "data": data or {}, **fields}
        return write_recipe_file(
            tmp_path / "tiny.yaml",
            tower=Path("tower"),
            teacher=Path("teacher"),
            source="images",
            pipeline=pipeline,
        )

    return write


@pytest.fixture
def planned(write_pipeline: WriteRecipe) -> Callable[..., Recipe]:
    def load(*arguments: Any, **fields: Any) -> Recipe:
        return load_recipe(str(write_pipeline(*arguments, **fields)))

    return load


def stage(command: str, makes: str = "result.json", **fields: Any) -> dict[str, Any]:
    return {"command": command, "makes": [makes], **fields}
