"""Small sources that several tests of the data read."""

from pathlib import Path

import pytest
from datasets import Dataset, Features, Image, Value

from tests.fixtures.images import crops, write_image_folder, write_shards


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tars of four photographs each, with img2dataset's statistics beside them."""
    return write_shards(tmp_path_factory.mktemp("shards"), 6, 4, side=40, statistics=True)


@pytest.fixture(scope="session")
def two_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tars of ten photographs each."""
    return write_shards(tmp_path_factory.mktemp("two-shards"), 2, 10, side=40)


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty image files of every accepted extension, in nested folders."""
    extensions = ("jpg", "jpeg", "png", "webp", "JPG")
    images = {
        f"{'ab'[number % 2]}/{number:02d}.{extensions[number % 5]}": image
        for number, image in enumerate(crops(20, side=40))
    }
    return write_image_folder(tmp_path_factory.mktemp("folder"), images)


@pytest.fixture(scope="session")
def saved_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of twelve rows whose images are in the column `photo`."""
    folder = tmp_path_factory.mktemp("datasets") / "photographs"
    columns = {"photo": crops(12, side=40), "caption": [f"photograph {number}" for number in range(12)]}
    features = Features({"photo": Image(), "caption": Value("string")})
    Dataset.from_dict(columns, features=features).save_to_disk(str(folder))
    return folder


@pytest.fixture(scope="session", params=["shards", "two_shards", "image_folder", "saved_dataset"])
def source_folder(request: pytest.FixtureRequest) -> Path:
    """Each kind of source in turn."""
    return request.getfixturevalue(request.param)
