"""Counting and fingerprinting the images of a source."""

import shutil
from pathlib import Path

import pytest
from datasets import load_from_disk

from diva.data import count_images, fingerprint, open_source
from diva.errors import Missing


@pytest.mark.parametrize(
    ("fixture", "images"), [("shards", 24), ("two_shards", 20), ("image_folder", 20), ("saved_dataset", 12)]
)
def test_images_are_counted(request: pytest.FixtureRequest, fixture: str, images: int) -> None:
    assert count_images(open_source(str(request.getfixturevalue(fixture)))) == images


@pytest.fixture
def copy(shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shards, tmp_path / "copy"))


def test_the_count_of_a_tar_is_img2datasets_own_where_there_is_one(copy: Path) -> None:
    (copy / "00000_stats.json").write_text('{"count": 1000, "successes": 900}')
    assert count_images(open_source(str(copy))) == 900 + 20


def test_statistics_without_a_count_are_refused_by_name(copy: Path) -> None:
    (copy / "00003_stats.json").write_text("{}")
    with pytest.raises(Missing, match=r"00003_stats.json: .*'successes'"):
        count_images(open_source(str(copy)))


def test_what_others_try_on_a_saved_dataset_is_no_part_of_it(saved_dataset: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved_dataset, tmp_path / "copy")
    before = open_source(str(folder))
    load_from_disk(str(folder)).filter(lambda row: row["caption"] != "photograph 3")
    after = open_source(str(folder))
    assert list(folder.glob("cache-*"))
    assert (fingerprint(after), after.order_digest()) == (fingerprint(before), before.order_digest())
    assert {"state.json", "dataset_info.json"} < set(after.names)


def test_the_fingerprint_follows_the_files_and_not_the_place(shards: Path, copy: Path) -> None:
    before = fingerprint(open_source(str(shards)))
    assert fingerprint(open_source(str(copy))) == before
    assert fingerprint(open_source(f"{shards}/{{00000..00004}}.tar")) != before
    with (copy / "00002.tar").open("ab") as tar:
        tar.write(bytes(512))
    assert fingerprint(open_source(str(copy))) != before
