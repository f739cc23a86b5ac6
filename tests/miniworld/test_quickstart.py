import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from diva.cli.run import check_words
from diva.errors import Occupied
from diva.miniworld import quickstart
from diva.pipelines.load import load_pipeline
from diva.pipelines.plan import plan
from diva.recipes import load_recipe
from diva.towers.checkpoint import file_sha256
from diva_benchmarks.miniworld.gates import Gates


def test_every_step_is_a_command_that_diva_understands_and_has_the_seed(tmp_path: Path) -> None:
    recipe = load_recipe(quickstart.RECIPE, ["seed=3"])
    steps = {step.name: step for step in plan(recipe, load_pipeline(None, recipe), tmp_path)}
    for step in steps.values():
        check_words(step.words)
        assert all(Path(str(place.path)).is_dir() for place in step.data.values())
    assert {"world", "diva", "verdicts", "mmvp-verdicts-averaged", "segmentation", "llava"} <= steps.keys()
    assert steps["world"].words[-4:-2] == ("--seed", "3")
    assert steps["diva"].words[1] == f"{tmp_path}/training.yaml"
    assert all("seed=3" in steps[name].words for name in ("judge", "verdicts", "shuffled-control"))


SMALL = {"images": 64, "pairs": 2, "zero_shot": 64, "retrieval": 8, "segmentation": 4, "conversations": 4}
# and what needs the extras
TOO_LONG = ("judge", "verdicts", "verdicts-averaged", "shuffled-control", "transformers")


def test_a_small_quickstart_ends_in_its_report(tmp_path: Path) -> None:
    recipe = load_recipe(quickstart.RECIPE)
    whole = load_pipeline(None, recipe).steps
    steps: dict[str, Any] = {name: None for name, step in whole.items() if name in TOO_LONG or step.extra}
    steps |= {name: {"each": ["diva"]} for name in ("mmvp", "zero-shot")}
    steps |= {"world": {"with": {"set": SMALL}}, "pictures": {"with": {"pairs": 1, "steps": 2}}}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump({"extends": "quickstart", "steps": steps}))
    fields = ("stages.0.steps=2", "stages.1.steps=2", "diagnostics.every=null")
    options = ("--pipeline", "small.yaml", "--out", "out", "--jobs", "2")
    subprocess.run(
        [sys.executable, "-m", "diva.cli", "run", quickstart.RECIPE, *fields, *options], cwd=tmp_path, check=True
    )
    content = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    assert content["incomplete"] == []
    assert (tmp_path / "out" / "report" / "report.html").stat().st_size > 0


def test_a_folder_of_something_else_or_of_another_quickstart_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(Occupied, match="--out"):
        quickstart.run(tmp_path, seed=0, check=check_words)
    (tmp_path / "manifest.json").write_text('{"recipe": "diva/quickstart", "overrides": ["seed=9"]}')
    with pytest.raises(Occupied, match="--out"):
        quickstart.run(tmp_path, seed=0, check=check_words)


def test_the_base_that_ships_is_whole_small_and_passed_its_gates() -> None:
    base = Path(quickstart.__file__).parent / "bases" / "0"
    recipe = json.loads((base / "recipe.json").read_text())
    assert Gates.model_validate(recipe["gates"]).failed == []
    assert {name.split("/")[0] for name in recipe["weights"]} == {"clip", "teacher", "decoder"}
    for name, sha256 in recipe["weights"].items():
        assert file_sha256(base / name) == sha256
    assert sum(path.stat().st_size for path in base.rglob("*") if path.is_file()) < 25e6
