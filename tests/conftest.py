"""Fixtures that several areas share: written once a session, never changed by a test."""

from pathlib import Path

import pytest
import torch
from hypothesis import settings

from tests.fixtures.teachers import tiny_stable_diffusion
from tests.fixtures.towers import tiny_clip

# how long an example takes says more of the machine than of the code
settings.register_profile("diva", deadline=None)
settings.load_profile("diva")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # tiny models: threads cost more than they give


@pytest.fixture(scope="session")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_stable_diffusion(tmp_path_factory.mktemp("teacher"))


@pytest.fixture(scope="session")
def tower_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("towers") / "tower")
