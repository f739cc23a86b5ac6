"""Reading tars: against tarfile and webdataset, whole and damaged."""

import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st

from diva.data import open_source
from diva.data.raw import FileSlice, Loss
from diva.data.shards import ShardPart
from diva.images import UnusableError
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


def test_a_mask_beside_its_picture_is_left_out_by_count(tmp_path: Path) -> None:
    content = encode(crops(1, side=40)[0])
    with webdataset.TarWriter(str(tmp_path / "00000.tar")) as tar:
        tar.write({"__key__": "0", "jpg": content, "txt": "a", "json": {}, "seg.png": content, "cls": b"1"})
        tar.write({"__key__": "1", "gif": content})
    image, left_out = open_source(str(tmp_path)).images()
    assert image.key == "00000.tar/0.jpg"
    assert left_out == Loss("00000.tar", "left out: 1 .gif, 1 .png beside the picture that they annotate", 0)


def test_names_with_dots_are_read(tmp_path: Path) -> None:
    names = ["IMG.2021.05.jpg", "IMG.2021.06.jpg", "site.com-a.JPG", "v1.0/inner.jpg", "a.b/c.d.png", "plain.jpe"]
    write_tar(tmp_path / "0.tar", [(name, b"x") for name in [*names, "IMG.2021.05.json"]])
    assert [image.key for image in open_source(str(tmp_path)).images()] == [f"0.tar/{name}" for name in names]


def test_links_and_hidden_files_in_a_tar_are_left_out_by_count(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for name, kind in {"a.jpg": tarfile.REGTYPE, "b.jpg": tarfile.LNKTYPE, "._a.jpg": tarfile.REGTYPE}.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a.jpg"
            tar.addfile(info)
    image, left_out = open_source(str(tmp_path)).images()
    assert image.key == "0.tar/a.jpg"
    assert left_out == Loss("0.tar", "left out: 1 hidden, 1 links or other special files (.jpg)", 0)


def test_a_tar_without_images_says_so(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", [("labels.txt", b"x")])
    assert list(open_source(str(tmp_path)).images()) == [Loss("0.tar", "contains no image", 0)]


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


def write_tar(path: Path, members: Sequence[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def read(path: Path) -> tuple[list[FileSlice], list[Loss]]:
    images = list(ShardPart(path, path.name))
    return (
        [image for image in images if isinstance(image, FileSlice)],
        [image for image in images if isinstance(image, Loss)],
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


def test_a_broken_header_costs_its_own_image_alone(two_shards: Path, tmp_path: Path) -> None:
    with tarfile.open(two_shards / "00000.tar") as tar:
        members = [member for member in tar if member.name.endswith("jpg")]
    content = (two_shards / "00000.tar").read_bytes()
    path = tmp_path / "00000.tar"
    whole, _ = read(two_shards / "00000.tar")
    for number, member in enumerate(members):
        for place in (3, 110, 130, 150, 260):  # name, mode, size, checksum, magic
            changed = bytearray(content)
            changed[member.offset + place] ^= 0x10
            path.write_bytes(changed)
            images, (damage,) = read(path)
            assert [image.load() for image in images] == [
                image.load() for image in whole if image is not whole[number]
            ], (number, place)
            assert damage.images == 1
            assert damage.reason.startswith("the tar is damaged: ")
            with pytest.raises(UnusableError, match="the tar is damaged"):
                damage.load()


@settings(max_examples=40, deadline=None)
@given(place=st.integers(0, 20_000), length=st.integers(1, 3000), fill=st.sampled_from([b"\0", b"\xff"]))
def test_what_is_overwritten_is_lost_and_said(
    two_shards: Path, tmp_path_factory: pytest.TempPathFactory, place: int, length: int, fill: bytes
) -> None:
    """Images that still lie whole behind the damage are read; a header that has gone never goes unsaid."""
    content = (two_shards / "00000.tar").read_bytes()
    with tarfile.open(two_shards / "00000.tar") as tar:
        members = list(tar)
    changed = content[:place] + fill * length + content[place + length :]
    path = tmp_path_factory.mktemp("overwritten") / "00000.tar"
    path.write_bytes(changed)
    whole = [changed[each.offset : each.offset_data] == content[each.offset : each.offset_data] for each in members]
    images, losses = read(path)
    assert [image.offset for image in images] == [
        each.offset_data for each, there in zip(members, whole, strict=True) if there and each.name.endswith("jpg")
    ]
    assert bool(losses) == (not all(whole))


def test_one_tar_behind_another_is_read_as_one(two_shards: Path, tmp_path: Path) -> None:
    path = tmp_path / "00000.tar"
    path.write_bytes(b"".join((two_shards / f"0000{number}.tar").read_bytes() for number in range(2)))
    images, losses = read(path)
    assert (len(images), losses) == (20, [])


def test_a_tar_that_is_not_a_file_is_a_loss(tmp_path: Path) -> None:
    write_shard(tmp_path / "00000.tar", [encode(crops(1, side=40)[0])])
    os.mkfifo(tmp_path / "00001.tar")
    (tmp_path / "00002.tar").symlink_to("/dev/zero")
    image, *losses = open_source(str(tmp_path)).images()
    assert image.key == "00000.tar/000000000.jpg"
    assert [loss.key for loss in losses if "is not a regular file" in loss.reason] == ["00001.tar", "00002.tar"]


def test_damage_is_told_by_one_part_only(tmp_path: Path) -> None:
    path = tmp_path / "00000.tar"
    path.write_bytes(b"this is no tar" * 100)
    found = [image for part in range(4) for image in ShardPart(path, path.name, part, 4)]
    assert [type(image) for image in found] == [Loss]
