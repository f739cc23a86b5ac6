"""`diva visualize` from a result file and a finished run, to the page."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from diva.condition import build_condition
from diva.denoisers import load_denoiser
from diva.errors import Changed, InputError, Invalid, Missing, Unwritable
from diva.measure import evaluate
from diva.recipes import load_recipe
from diva.results import write_result
from diva.towers import load_clip
from diva.visualize.command import visualize
from diva.visualize.index import INDEX, read_index
from diva_benchmarks.report.command import run as report
from tests.fixtures.mmvp import write_mmvp_folder
from tests.fixtures.recipes import write_recipe_file
from tests.fixtures.towers import tiny_clip

CPU = torch.device("cpu")
OPTIONS = {"data": None, "run": None, "pairs": 2, "steps": 3, "guidance": 2.0, "seed": 0, "device": CPU}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, tower_folder: Path, teacher_folder: Path) -> Path:
    """What `diva train` leaves, but for the training: another tower, and a projection."""
    folder = tmp_path_factory.mktemp("run")
    tiny_clip(folder / "tower", seed=1)
    path = write_recipe_file(folder / "recipe.yaml", tower=tower_folder, teacher=teacher_folder, source="images")
    recipe = load_recipe(str(path))
    denoiser = load_denoiser(recipe.denoiser, dtype=torch.float32, device=CPU)
    condition = build_condition(recipe.condition, load_clip(str(folder / "tower")).tower, denoiser)
    save_file(condition.state_dict(), folder / "projection.safetensors")
    return folder


@pytest.fixture(scope="module")
def measured(run_folder: Path, tower_folder: Path) -> Path:
    data, out = write_mmvp_folder(run_folder / "mmvp", 1), run_folder / "results" / "mmvp.json"
    write_result(
        evaluate("mmvp-vlm", str(run_folder / "tower"), data, against=str(tower_folder), batch=8, device="cpu"),
        out,
    )
    return out


def test_pairs_maps_and_drawings_end_up_on_the_page(measured: Path, run_folder: Path, tmp_path: Path) -> None:
    visualize(measured, tmp_path / "seen", **OPTIONS | {"run": run_folder})
    index = read_index(tmp_path / "seen" / INDEX)
    result = json.loads(measured.read_text())
    items = {item["id"]: item["details"] for item in result["items"]}
    assert len(index.pairs) == 2
    for pair in index.pairs:
        assert pair.after[0][1] == items[pair.id]["statement1_image2"]
        assert pair.statements[1] == items[pair.id]["statement2"]
        for view in pair.views:
            files = [tmp_path / "seen" / name for name in view.model_dump().values()]
            assert all(Image.open(file).size == (224, 224) for file in files)
            before, after = (
                Image.open(tmp_path / "seen" / str(name)) for name in (view.drawn_before, view.drawn_after)
            )
            assert before.tobytes() != after.tobytes()  # the towers say different things
    assert index.drawing is not None
    assert (index.drawing.recipe, index.drawing.steps) == ("tiny", 3)
    report([measured, tmp_path / "seen"], tmp_path / "report", published=False)
    assert (tmp_path / "report" / "report.html").read_text().count('<img src="data:image/png') == 2 * 2 * 5


def test_the_same_seed_draws_the_same_and_another_another(measured: Path, run_folder: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        visualize(measured, tmp_path / name, **OPTIONS | {"run": run_folder, "pairs": 1, "steps": 2, "seed": seed})
    first, again, other = ((tmp_path / name / "0-drawn-after.png").read_bytes() for name in "abc")
    assert first == again != other


def test_what_cannot_be_shown_is_refused_with_its_remedy(
    measured: Path, run_folder: Path, tower_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for change, says in (
        ({"pairs": 0}, "--pairs: 0 is too few"),
        ({"data": tmp_path}, "has no image"),
        ({"run": tower_folder}, "recipe.yaml: is missing; give the folder of a finished"),
    ):
        with pytest.raises(InputError, match=says):
            visualize(measured, out, **OPTIONS | change)
    state = load_file(run_folder / "projection.safetensors")
    (tmp_path / "recipe.yaml").write_bytes((run_folder / "recipe.yaml").read_bytes())
    save_file({key: value[:1].clone() for key, value in state.items()}, tmp_path / "projection.safetensors")
    with pytest.raises(Missing, match=r"projection\.safetensors:"):
        visualize(measured, out, **OPTIONS | {"run": tmp_path})
    assert not out.exists()
    changed = json.loads(measured.read_text())
    changed["subject"]["sha256"] = "0" * 64
    (tmp_path / "changed.json").write_text(json.dumps(changed))
    with pytest.raises(Changed, match="tower:"):
        visualize(tmp_path / "changed.json", out, **OPTIONS)


@pytest.mark.parametrize("name", ["../0-picture.png", "/etc/hostname", "a/b.png", "..", ""])
def test_an_index_names_pictures_beside_it_alone(
    measured: Path, run_folder: Path, tmp_path: Path, name: str
) -> None:
    del run_folder
    visualize(measured, tmp_path, **OPTIONS | {"pairs": 1})
    index = json.loads((tmp_path / INDEX).read_text())
    index["pairs"][0]["views"][1]["map_after"] = name
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(Invalid, match=r"map_after: .*`diva visualize`"):
        read_index(tmp_path / INDEX)


def test_a_place_for_the_index_that_is_taken_is_told_first(tmp_path: Path) -> None:
    (tmp_path / INDEX).mkdir()
    with pytest.raises(Unwritable, match=f"{INDEX}:"):
        visualize(tmp_path / "no result", tmp_path, **OPTIONS)
