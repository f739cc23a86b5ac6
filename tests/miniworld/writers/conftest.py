from pathlib import Path

import pytest

from diva.miniworld.write import Counts, write_world

COUNTS = Counts(
    images=25,
    pairs=3,
    zero_shot=12,
    retrieval=5,
    segmentation=8,
    conversations=4,
    questions=6,
    vqa_pairs=2,
    pope=5,
    open_questions=7,
)
SEED = 3


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small world, written once."""
    folder = tmp_path_factory.mktemp("worlds") / "world"
    write_world(folder, seed=SEED, counts=COUNTS)
    return folder
