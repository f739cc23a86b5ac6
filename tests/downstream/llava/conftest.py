"""Miniature LLaVAs, written once for all tests of the pipeline."""

import json
from pathlib import Path
from typing import Any

import pytest

from diva_downstream.llava.swap import swap
from tests.fixtures.images import crops
from tests.fixtures.llava import tiny_language_model, tiny_llava, tiny_original_llava
from tests.fixtures.tower_files import tiny_names

__all__ = ["tiny_names"]

RECORDS = 12


@pytest.fixture(scope="session")
def llava_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llava(tmp_path_factory.mktemp("llava") / "llava")


@pytest.fixture(scope="session")
def original_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_original_llava(tmp_path_factory.mktemp("llava") / "original")


@pytest.fixture(scope="session")
def language_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_language_model(tmp_path_factory.mktemp("llava") / "language")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Conversations about photographs, of very different lengths; every fourth one is without a photograph."""
    folder = tmp_path_factory.mktemp("conversations")
    captions, talks = [], []
    for number, image in enumerate(crops(RECORDS, 40)):
        image.resize((40, 30)).save(folder / f"{number}.jpg")
        said = [("human", "<image>\nDescribe the picture."), ("gpt", f"Picture number {number}.")]
        captions.append(_record(number, said, image=True))
        more = [("human", "Is it red? " * (number % 5 + 1)), ("gpt", "No." * (number % 3 + 1))]
        blind = [("human", "What is red?"), ("gpt", "The ball.")]
        talks.append(_record(number, blind if number % 4 == 3 else said + more, image=number % 4 != 3))
    (folder / "captions.json").write_text(json.dumps(captions))
    (folder / "talks.json").write_text(json.dumps(talks))
    return folder


def _record(number: int, said: list[tuple[str, str]], *, image: bool) -> dict[str, Any]:
    turns = [{"from": speaker, "value": text} for speaker, text in said]
    return {"id": str(number), "conversations": turns} | ({"image": f"{number}.jpg"} if image else {})


@pytest.fixture(scope="session")
def swapped(llava_folder: Path, tower_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("swapped") / "llava"
    swap(llava_folder, str(tower_folder), folder, fresh_projector=True)
    return folder
