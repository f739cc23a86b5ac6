"""The teacher of a finished run, as the pictures need it."""

import shutil
from importlib.resources import files
from pathlib import Path

import torch

from diva.recipes import load_recipe
from diva.recipes.load import write_recipe
from diva.run_folder import RunFolder
from diva.towers import load_clip
from diva.visualize.teacher import Teacher

BASE = Path(str(files("diva.miniworld"))) / "bases" / "0"


def test_the_decoder_that_a_run_has_trained_is_read_and_not_made_anew(tmp_path: Path) -> None:
    overrides = [f"tower.name={BASE / 'clip'}", f"denoiser.path={BASE / 'teacher'}"]
    recipe = load_recipe("un2clip/quickstart-decoder", overrides)
    assert recipe.denoiser.makes == "fit_images"
    write_recipe(recipe, tmp_path / "recipe.yaml")
    shutil.copytree(BASE / "decoder", tmp_path / "denoiser")
    tower = load_clip(str(BASE / "clip")).tower.eval()
    teacher = Teacher(RunFolder(tmp_path), tower, torch.device("cpu"))
    with torch.no_grad():
        tokens = tower(torch.rand(1, 3, 48, 48))
    drawn = teacher.draw(tokens, steps=2, guidance=1.0, seed=0)
    assert drawn.shape == (1, 3, 48, 48)
    assert drawn.std() > 0
