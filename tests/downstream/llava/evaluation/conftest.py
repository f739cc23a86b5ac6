from collections.abc import Iterator
from pathlib import Path

import pytest

from diva.miniworld.write import Counts, write_world
from tests.fixtures.judge import LoopbackJudge, loopback_judge
from tests.fixtures.parrots import write_parrot

COUNTS = Counts(
    images=1,
    pairs=1,
    zero_shot=1,
    retrieval=1,
    segmentation=1,
    conversations=1,
    questions=12,
    vqa_pairs=1,
    pope=6,
    open_questions=6,
)


@pytest.fixture
def judge() -> Iterator[LoopbackJudge]:
    """A judge on the loopback interface."""
    with loopback_judge() as served:
        yield served


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All four benchmarks in their official files, of the miniature world."""
    folder = tmp_path_factory.mktemp("worlds") / "world"
    write_world(folder, seed=5, counts=COUNTS)
    return folder


@pytest.fixture(scope="session")
def says_a(llava_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA that answers "A" whatever it sees."""
    return write_parrot(llava_folder, tmp_path_factory.mktemp("parrots") / "a", "A")


@pytest.fixture(scope="session")
def says_no(llava_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA that answers "No" whatever it sees."""
    return write_parrot(llava_folder, tmp_path_factory.mktemp("parrots") / "no", "No")
