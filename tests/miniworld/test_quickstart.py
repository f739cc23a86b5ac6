import json
from pathlib import Path

import pytest

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
