import io
from pathlib import Path

import pytest
from rich.console import Console

from diva.towers import Clip
from diva_benchmarks.encoder import Encoder
from diva_benchmarks.tensor_cache import TensorCache
from tests.fixtures.zero_shot import write_captioned, write_digits, write_things


@pytest.fixture(scope="session")
def sets_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small set of each kind, in different spellings of clip-benchmark's layout."""
    folder = tmp_path_factory.mktemp("sets")
    write_digits(folder / "wds_mnist", 60, shards=2)
    write_things(folder / "wds_voc2007_multilabel")
    write_captioned(folder / "wds" / "flickr30k")
    return folder


@pytest.fixture
def encoder(clip: Clip) -> Encoder:
    return Encoder(clip, TensorCache(None, Console(file=io.StringIO())), 64)


@pytest.fixture
def other_encoder(other_clip: Clip) -> Encoder:
    return Encoder(other_clip, TensorCache(None, Console(file=io.StringIO())), 64)
