from pathlib import Path

import pytest

from diva.errors import Occupied
from diva.miniworld.write import DATASETS, write_world
from diva.towers.checkpoint import file_sha256
from tests.miniworld.writers.conftest import COUNTS, SEED


def _hashes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): file_sha256(path) for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(world: Path, tmp_path: Path) -> None:
    write_world(tmp_path / "again", seed=SEED, counts=COUNTS)
    write_world(tmp_path / "other", seed=SEED + 1, counts=COUNTS)
    first, again, other = _hashes(world), _hashes(tmp_path / "again"), _hashes(tmp_path / "other")
    assert first == again
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first if name.endswith((".jpg", ".tar", ".tsv", ".csv")))


def test_every_data_set_has_its_folder_and_nothing_is_left_beside(world: Path) -> None:
    assert sorted(path.name for path in world.iterdir()) == sorted([*DATASETS, "diva.sha256"])
    assert [path.name for path in world.parent.iterdir()] == ["world"]


def test_a_folder_with_content_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(Occupied, match="is not empty; name a new folder"):
        write_world(tmp_path, seed=0, counts=COUNTS)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_no_training_picture_returns_in_a_test_set(world: Path) -> None:
    files = [
        *world.glob("mmvp_vlm/*/*/*.jpg"),
        *world.glob("*/*/images/*/*.jpg"),
        *world.glob("llava/images/*.jpg"),
    ]
    assert len({file_sha256(path) for path in files}) == len(files)
