"""What a run leaves besides its tower."""

from pathlib import Path

import pytest
import torch

from diva.denoisers import load_denoiser
from diva.errors import RunError
from diva.recipes import load_recipe
from diva.recipes.denoisers import StableDiffusion
from diva.run_folder import RunFolder
from diva.training.artefacts import write_denoiser
from tests.fixtures.full_disk import full_disk


def test_a_denoiser_that_a_full_disk_refuses_leaves_the_earlier_one(teacher_folder: Path, tmp_path: Path) -> None:
    section = StableDiffusion(path=str(teacher_folder))
    denoiser = load_denoiser(section, dtype=torch.float32, device=torch.device("cpu"))
    recipe = load_recipe("diva/quickstart")
    write_denoiser(denoiser, RunFolder(tmp_path), recipe, "first")
    told = pytest.raises(RunError, match=r"denoiser: cannot be written \(.*; free or change the place")
    with full_disk(10_000), told:
        write_denoiser(denoiser, RunFolder(tmp_path), recipe, "second")
    assert [path.name for path in tmp_path.iterdir()] == ["denoiser"]
    assert '"tower_sha256": "first"' in (tmp_path / "denoiser" / "diva.json").read_text()
    write_denoiser(denoiser, RunFolder(tmp_path), recipe, "second")
    assert '"tower_sha256": "second"' in (tmp_path / "denoiser" / "diva.json").read_text()
