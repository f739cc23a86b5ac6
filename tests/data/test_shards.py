"""Reading tars: against tarfile and webdataset, whole and damaged."""

import tarfile
from pathlib import Path

import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st

from diva.data import open_source
from diva.data.raw import Damage, FileSlice, UnusableError
from diva.data.shards import ShardPart
from tests.fixtures.images import crops, encode, write_shard


def test_a_tar_gives_the_images_that_webdataset_reads(shards: Path) -> None:
    path = shards / "00000.tar"
    expected = [sample["jpg"] for sample in webdataset.WebDataset(str(path), shardshuffle=False)]
    assert [image.load() for image in ShardPart(path, path.name)] == expected
    assert len(expected) == 4


@pytest.mark.parametrize("extension", ["jpg", "jpeg", "png", "webp", "JPG"])
def test_every_extension_is_read(tmp_path: Path, extension: str) -> None:
    content = [encode(image, extension.lower()) for image in crops(3, side=40)]
    path = write_shard(tmp_path / "00000.tar", content, extension=extension)
    images = list(ShardPart(path, "00000.tar"))
    assert [image.load() for image in images] == content
    assert images[0].key == f"00000.tar/000000000.{extension}"


def test_other_members_are_no_images(tmp_path: Path) -> None:
    content = encode(crops(1, side=40)[0])
    with webdataset.TarWriter(str(tmp_path / "00000.tar")) as tar:
        tar.write({"__key__": "0", "jpg": content, "txt": "a", "json": {}, "seg.png": content, "cls": b"1"})
    assert [image.key for image in open_source(str(tmp_path)).images()] == ["00000.tar/0.jpg"]


@settings(max_examples=25, deadline=None)
@given(parts=st.integers(1, 12))
def test_the_parts_of_a_tar_share_its_images(two_shards: Path, parts: int) -> None:
    path = two_shards / "00001.tar"
    whole = list(ShardPart(path, path.name))
    shares = [ShardPart(path, path.name, part, parts) for part in range(parts)]
    assert sorted((image for share in shares for image in share), key=whole.index) == whole
    assert [len(share) for share in shares] == [len(list(share)) for share in shares]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@settings(max_examples=25, deadline=None)
@given(streams=st.integers(1, 40))
def test_the_streams_share_all_tars(shards: Path, streams: int) -> None:
    source = open_source(str(shards))
    found = [image for stream in range(streams) for unit in source.units(stream, streams) for image in unit]
    assert sorted(image.key for image in found) == sorted(image.key for image in source.images())


def read(path: Path) -> tuple[list[FileSlice], list[Damage]]:
    images = list(ShardPart(path, path.name))
    return (
        [image for image in images if isinstance(image, FileSlice)],
        [image for image in images if isinstance(image, Damage)],
    )


def test_a_tar_cut_anywhere_gives_the_images_before_the_cut_and_one_damage(
    two_shards: Path, tmp_path: Path
) -> None:
    content = (two_shards / "00000.tar").read_bytes()
    with tarfile.open(two_shards / "00000.tar") as tar:
        members = [member for member in tar if member.name.endswith("jpg")]
        end = tar.offset
    whole, _ = read(two_shards / "00000.tar")
    cut = tmp_path / "00000.tar"
    for length in range(0, end + 1, 777):
        cut.write_bytes(content[:length])
        images, damages = read(cut)
        expected = sum(member.offset_data + member.size <= length for member in members)
        assert [image.load() for image in images] == [image.load() for image in whole[:expected]]
        assert [damage.key for damage in damages] == ["00000.tar"], length


def test_a_broken_header_in_the_middle_is_damage(two_shards: Path, tmp_path: Path) -> None:
    with tarfile.open(two_shards / "00000.tar") as tar:
        third = [member for member in tar if member.name.endswith("jpg")][2]
    content = bytearray((two_shards / "00000.tar").read_bytes())
    content[third.offset + 150] ^= 0xFF  # its checksum
    path = tmp_path / "00000.tar"
    path.write_bytes(content)
    images, (damage,) = read(path)
    assert len(images) == 2
    with pytest.raises(
        UnusableError, match=f"the tar is damaged: no header and no end mark at byte {third.offset}"
    ):
        damage.load()


def test_damage_is_told_by_one_part_only(tmp_path: Path) -> None:
    path = tmp_path / "00000.tar"
    path.write_bytes(b"this is no tar" * 100)
    found = [image for part in range(4) for image in ShardPart(path, path.name, part, 4)]
    assert [type(image) for image in found] == [Damage]
