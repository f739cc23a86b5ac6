"""A small world in both official layouts, a trained miniature tower, and the same tower with random weights."""

from importlib.resources import files
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

import diva_downstream.segmentation  # noqa: F401 - stands in for operators of mmcv before mmseg is imported
from diva.miniworld.scene import draw, generator
from diva.miniworld.writers import write_ade20k, write_pascal_context
from tests.fixtures.tower_files import tiny_towers

__all__ = ["tiny_towers"]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that holds both data sets, 200 scenes to train on and 24 to test on."""
    folder = tmp_path_factory.mktemp("world")
    scenes = draw(200, generator(11)), draw(24, generator(12))
    write_ade20k(*scenes, folder)
    write_pascal_context(*scenes, folder)
    return folder


@pytest.fixture(scope="session")
def trained() -> Path:
    """Return the miniature tower that ships with diva: 4 blocks, 48 px, patches of 8."""
    return Path(str(files("diva.miniworld"))) / "bases" / "0" / "clip"


@pytest.fixture(scope="session")
def untrained(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tower of the same architecture with open_clip's initial weights."""
    folder = tmp_path_factory.mktemp("untrained")
    (folder / "open_clip_config.json").write_bytes((trained / "open_clip_config.json").read_bytes())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = open_clip.create_model(f"local-dir:{folder}", load_weights=False).state_dict()
    save_file(state, folder / "open_clip_model.safetensors")
    return folder
