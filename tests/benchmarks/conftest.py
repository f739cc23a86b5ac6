from pathlib import Path

import pytest

from diva.towers import Clip, load_clip
from tests.fixtures.mmvp import write_mmvp_folder
from tests.fixtures.towers import tiny_clip


@pytest.fixture(scope="session")
def mmvp_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mmvp_folder(tmp_path_factory.mktemp("mmvp"), 2)


@pytest.fixture(scope="session")
def other_tower_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("towers") / "other", seed=1)


@pytest.fixture(scope="session")
def clip(tower_folder: Path) -> Clip:
    return load_clip(str(tower_folder))


@pytest.fixture(scope="session")
def other_clip(other_tower_folder: Path) -> Clip:
    return load_clip(str(other_tower_folder))
