"""Miniature LLaVAs, written once for all tests of the pipeline."""

from pathlib import Path

import pytest

from tests.fixtures.llava import tiny_language_model, tiny_llava, tiny_original_llava
from tests.fixtures.tower_files import tiny_names

__all__ = ["tiny_names"]


@pytest.fixture(scope="session")
def llava_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llava(tmp_path_factory.mktemp("llava") / "llava")


@pytest.fixture(scope="session")
def original_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_original_llava(tmp_path_factory.mktemp("llava") / "original")


@pytest.fixture(scope="session")
def language_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_language_model(tmp_path_factory.mktemp("llava") / "language")
