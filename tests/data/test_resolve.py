"""What a user may write as the source of the images."""

from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict

from diva.data import count_images, open_source
from diva.errors import Damaged, Invalid, Missing
from tests.fixtures.images import crops, write_image_folder, write_shard


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", ["00000.tar", "00001.tar", "00002.tar", "00003.tar", "00004.tar", "00005.tar"]),
        ("00004.tar", ["00004.tar"]),
        ("{00001..00003}.tar", ["00001.tar", "00002.tar", "00003.tar"]),
        ("*[05].tar", ["00000.tar", "00005.tar"]),
        ("0000{1,[2-3]}.tar", ["00001.tar", "00002.tar", "00003.tar"]),
        ("{00001..00002}.tar::{folder}/0000[24].tar", ["00001.tar", "00002.tar", "00004.tar"]),
    ],
)
def test_tars_are_named_by_folder_file_braces_and_wildcards(
    shards: Path, pattern: str, expected: list[str]
) -> None:
    source = open_source(f"{shards}/{pattern.replace('{folder}', str(shards))}")
    assert source.kind == "shards"
    assert source.names == expected


def test_names_are_relative_to_the_tars_common_folder(tmp_path: Path) -> None:
    for part in ("a", "b"):
        (tmp_path / part).mkdir()
        write_shard(tmp_path / part / "00000.tar", [b""])
    assert open_source(f"{tmp_path}/**/*.tar").names == ["a/00000.tar", "b/00000.tar"]


def test_an_image_folder_is_read_at_any_depth_without_hidden_files(tmp_path: Path) -> None:
    (photo,) = crops(1, side=40)
    names = ["b.PNG", "a/c.jpeg", "a/d/e.webp"]
    write_image_folder(tmp_path, dict.fromkeys([*names, "._b.png", ".cache/f.png"], photo))
    (tmp_path / "notes.txt").write_text("no image")
    source = open_source(str(tmp_path))
    assert (source.kind, source.names) == ("folder", sorted(names))


def test_linked_folders_are_followed_and_each_folder_is_read_once(tmp_path: Path) -> None:
    (photo,) = crops(1, side=40)
    write_image_folder(tmp_path / "elsewhere", {"0.jpg": photo, "1.jpg": photo})
    write_image_folder(tmp_path / "images", {"z/2.jpg": photo})
    for link, target in {"linked": "elsewhere", "again": "elsewhere", "loop": "images", "a": "images/z"}.items():
        (tmp_path / "images" / link).symlink_to(tmp_path / target)
    (tmp_path / "images" / "self").symlink_to("self")
    source = open_source(str(tmp_path / "images"))
    assert source.names == ["again/0.jpg", "again/1.jpg", "z/2.jpg"]
    assert source.left_out == {"links to folders that were already read": 3, "files without a suffix": 1}


def test_tars_are_found_deeper_and_by_any_spelling_and_pictures_beside_them_are_counted(tmp_path: Path) -> None:
    write_shard(write_image_folder(tmp_path / "one", {"0.jpg": b"", "note.txt": b""}) / "A.TAR", [b""])
    source = open_source(str(tmp_path / "one"))
    assert (source.kind, source.names, source.left_out) == ("shards", ["A.TAR"], {".jpg": 1, ".txt": 1})
    (tmp_path / "deep" / "part").mkdir(parents=True)
    write_shard(tmp_path / "deep" / "part" / "0.tar", [b""], statistics=True)
    source = open_source(str(tmp_path / "deep"))
    assert (source.kind, source.names, source.left_out) == ("shards", ["part/0.tar"], {})


def test_a_saved_dataset_is_recognised(saved_dataset: Path) -> None:
    source = open_source(str(saved_dataset))
    assert (source.kind, count_images(source)) == ("datasets", 12)


@pytest.mark.parametrize(
    ("spec", "refused"),
    [
        ("missing", pytest.raises(Missing, match="missing:")),
        (
            "x" * 5000,
            pytest.raises(
                Missing,
                match="xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx:",
            ),
        ),
        ("*.tar", pytest.raises(Missing, match=r"\*\.tar")),
        ("{00000..00002}.tar", pytest.raises(Missing, match=r"00000.tar")),
        ("notes.txt", pytest.raises(Invalid, match=r"notes.txt.*.tar")),
        ("", pytest.raises(Missing, match=r".tar.*jpg.*1 .txt")),
        ("${FOLDER}/0.tar", pytest.raises(Missing, match=r"FOLDER.*/0.tar")),
        ("{00000..00002.tar", pytest.raises(Invalid, match="Unbalanced")),
    ],
)
def test_a_source_that_is_not_there_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, refused: pytest.RaisesExc[Exception]
) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    monkeypatch.setenv("WDS_FOLDER", "read-from-the-environment")
    with refused as caught:
        open_source(f"{tmp_path}/{spec}")
    assert "read-from-the-environment" not in str(caught.value)
    assert str(caught.value).startswith("data.source: ")


def test_a_dataset_without_images_names_its_columns(tmp_path: Path) -> None:
    Dataset.from_dict({"caption": ["a"], "label": [1]}).save_to_disk(str(tmp_path / "captions"))
    with pytest.raises(Missing, match="captions:"):
        open_source(str(tmp_path / "captions"))


def test_a_dataset_of_several_splits_names_them(tmp_path: Path) -> None:
    splits = {"train": Dataset.from_dict({"a": [1]}), "test": Dataset.from_dict({"a": [1]})}
    DatasetDict(splits).save_to_disk(str(tmp_path / "all"))
    with pytest.raises(Invalid, match=r"all/train.*all/test"):
        open_source(str(tmp_path / "all"))


def test_a_dataset_with_a_missing_table_is_one_sentence(tmp_path: Path) -> None:
    Dataset.from_dict({"caption": ["a"]}).save_to_disk(str(tmp_path / "cut"))
    next((tmp_path / "cut").glob("*.arrow")).unlink()
    with pytest.raises(Damaged, match="cut:"):
        open_source(str(tmp_path / "cut"))
