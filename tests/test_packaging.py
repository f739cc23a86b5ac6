"""The wheel: all that the packages need, under names of ours, and nothing else; it works where it is installed."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from diva.miniworld import quickstart
from diva.pipelines.load import load_pipeline
from diva.recipes import load_recipe

ROOT = Path(__file__).parents[1]
FOLDERS = {"diva": "diva", "benchmarks": "diva_benchmarks", "downstream": "diva_downstream"}
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone without tests and documentation."""
    source = tmp_path_factory.mktemp("clone")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    return source


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    before = set(source.rglob("*"))
    subprocess.run([sys.executable, "-c", BUILD, str(out)], cwd=source, check=True, capture_output=True)
    for path in sorted(set(source.rglob("*")) - before, reverse=True):  # of the building
        path.rmdir() if path.is_dir() else path.unlink()
    (wheel,) = out.glob("diva_suite-*.whl")
    return wheel


def test_the_wheel_is_small_and_holds_every_file_of_the_packages_and_nothing_else(
    source: Path, wheel: Path
) -> None:
    assert wheel.stat().st_size <= 30e6
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    # a script is for a clone
    paths = [path.relative_to(source) for path in source.rglob("*") if path.is_file() and path.suffix != ".sh"]
    ours = [path for path in paths if path.parts[0] in FOLDERS and path.parts[:2] != ("benchmarks", "results")]
    assert packed == {Path(FOLDERS[path.parts[0]], *path.parts[1:]).as_posix() for path in ours}
    assert {"diva/py.typed", "diva/miniworld/bases/0/clip/open_clip_model.safetensors"} <= packed


SMALL = {"images": 64, "pairs": 2, "zero_shot": 64, "retrieval": 8, "segmentation": 4, "conversations": 4}
# and what needs the extras
TOO_LONG = ("judge", "verdicts", "verdicts-averaged", "shuffled-control", "transformers")


def test_from_the_wheel_beside_other_peoples_packages_a_small_quickstart_ends_in_its_report(
    wheel: Path, tmp_path: Path
) -> None:
    installed = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    for folder in ("benchmarks", "downstream"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("raise RuntimeError('of somebody else')")
    recipe = load_recipe(quickstart.RECIPE)
    whole = load_pipeline(None, recipe).steps
    steps: dict[str, Any] = {name: None for name, step in whole.items() if name in TOO_LONG or step.extra}
    steps |= {name: {"each": ["diva"]} for name in ("mmvp", "zero-shot")}
    steps |= {"world": {"with": {"set": SMALL}}, "pictures": {"with": {"pairs": 1, "steps": 2}}}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump({"extends": "quickstart", "steps": steps}))
    fields = ("stages.0.steps=2", "stages.1.steps=2", "diagnostics.every=null")
    options = ("--pipeline", "small.yaml", "--out", "out", "--jobs", "2")
    command = [sys.executable, "-m", "diva.cli", "run", quickstart.RECIPE, *fields, *options]
    subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(installed)}, check=True)
    manifest = (tmp_path / "out" / "manifest.json").read_text()
    assert f"{installed}/diva/miniworld/bases/0/clip" in manifest  # not of this clone
    content = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    assert content["incomplete"] == []
    assert (tmp_path / "out" / "report" / "report.html").stat().st_size > 0
