from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from accelerate.state import AcceleratorState

from diva.recipes import Recipe, load_recipe
from tests.fixtures.images import write_shards
from tests.fixtures.recipes import write_recipe_file

WriteRecipe = Callable[..., Path]


@pytest.fixture(autouse=True)
def _fresh_accelerator() -> Iterator[None]:
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards"), n_shards=4, per_shard=8, side=40)


@pytest.fixture
def write_tiny(tmp_path: Path, tower_folder: Path, teacher_folder: Path, shards: Path) -> WriteRecipe:
    def write(**sections: Any) -> Path:
        source = f"{shards}/{{00000..00003}}.tar"
        return write_recipe_file(
            tmp_path / "tiny.yaml", tower=tower_folder, teacher=teacher_folder, source=source, **sections
        )

    return write


@pytest.fixture
def tiny(write_tiny: WriteRecipe) -> Callable[..., Recipe]:
    def load(*overrides: str, **sections: Any) -> Recipe:
        return load_recipe(str(write_tiny(**sections)), overrides)

    return load
