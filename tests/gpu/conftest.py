"""What needs a GPU; fixtures are those of the training's tests, whose recipes run on whatever device there is."""

import pytest
import torch

from tests.training.conftest import _fresh_accelerator, shards, tiny, write_tiny  # noqa: F401


@pytest.fixture(scope="session", autouse=True)
def _gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU can be used here")
