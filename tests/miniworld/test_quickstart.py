import json
from pathlib import Path

import pytest

from diva.cli.run import check_words
from diva.errors import InputError
from diva.miniworld import quickstart
from diva.pipeline.plan import plan
from diva.recipes import load_recipe
from diva.towers.checkpoint import file_sha256
from diva_benchmarks.miniworld.gates import Gates


def _steps(tmp_path: Path, installed: list[str], seed: int = 3) -> dict[str, str]:
    path = tmp_path / "quickstart.yaml"
    path.write_text(quickstart.yaml.safe_dump(quickstart._recipe(seed, installed)))
    steps = plan(load_recipe(str(path), []), tmp_path / "out")
    for step in steps:
        check_words(step.words)
    return {step.name: " ".join(step.words) for step in steps}


def test_every_stage_is_a_command_that_diva_understands(tmp_path: Path) -> None:
    steps = _steps(tmp_path, ["llava", "segmentation"])
    assert {
        "world",
        "diva",
        "un2clip",
        "shuffled-control",
        "mmvp-un2clip-averaged",
        "segmentation",
        "llava",
    } <= steps.keys()
    assert "--seed 3" in steps["world"]
    assert all("seed=3" in steps[name] for name in ("diva", "un2clip", "shuffled-control"))


def test_a_pipeline_whose_extra_is_not_installed_is_left_out(tmp_path: Path) -> None:
    assert not [name for name in _steps(tmp_path, []) if name.startswith(("llava", "segmentation"))]


def test_a_folder_of_something_else_or_of_another_quickstart_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"is not empty; name another folder with --out"):
        quickstart.run(tmp_path, seed=0, check=check_words)
    (tmp_path / quickstart.RECIPE).write_text("seed: 9")
    with pytest.raises(InputError, match=r"quickstart\.yaml: is that of another quickstart"):
        quickstart.run(tmp_path, seed=0, check=check_words)


def test_the_base_that_ships_is_whole_small_and_passed_its_gates() -> None:
    base = Path(quickstart.__file__).parent / "bases" / "0"
    recipe = json.loads((base / "recipe.json").read_text())
    assert Gates.model_validate(recipe["gates"]).failed == []
    assert {name.split("/")[0] for name in recipe["weights"]} == {"clip", "teacher", "decoder"}
    for name, sha256 in recipe["weights"].items():
        assert file_sha256(base / name) == sha256
    assert sum(path.stat().st_size for path in base.rglob("*") if path.is_file()) < 25e6
