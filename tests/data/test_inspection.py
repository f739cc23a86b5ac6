"""What `diva data inspect` says about a source."""

import io
from pathlib import Path

import pytest
from PIL import Image

from diva.data import Spread, fingerprint, inspect, open_source
from diva.data.show import print_inspection
from tests.fixtures.images import crops, write_image_folder, write_shards


def test_an_inspection_counts_and_measures(tmp_path: Path) -> None:
    sizes = [(40, 50), (60, 45), (100, 200)]
    images: dict[str, Image.Image | bytes] = {
        f"{number}.{extension}": Image.new("RGB", size)
        for number, (size, extension) in enumerate(zip(sizes, ("jpg", "png", "png"), strict=True))
    }
    levels = io.BytesIO()
    Image.new("F", (40, 40)).save(levels, "TIFF")  # which decodes, but has no known white
    others = {"3.webp": b"no image", "4.png": Image.new("RGB", (31, 90)), "5.png": levels.getvalue()}
    write_image_folder(tmp_path, images | others)
    source = open_source(str(tmp_path))
    found = inspect(source)
    assert (found.kind, found.files, found.images, found.sampled) == ("folder", 6, 6, 6)
    assert (found.too_small, len(found.undecodable)) == (1, 2)
    assert found.size == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert found.formats == {"JPEG": 1, "PNG": 2}
    assert found.shorter_side == Spread(40, 45, 100)
    assert found.longer_side == Spread(50, 60, 200)
    assert found.fingerprint == fingerprint(source)


def test_only_the_first_images_are_decoded(shards: Path) -> None:
    found = inspect(open_source(str(shards)), sample=5)
    assert (found.kind, found.files, found.images, found.sampled) == ("shards", 6, 24, 5)
    assert found.formats == {"JPEG": 5}


def test_a_source_without_a_decodable_image_has_no_sizes(tmp_path: Path) -> None:
    write_image_folder(tmp_path, {"0.jpg": b"no image"})
    found = inspect(open_source(str(tmp_path)))
    assert (len(found.undecodable), found.shorter_side, found.longer_side) == (1, None, None)


@pytest.mark.parametrize("statistics", [True, False])
def test_a_cut_shard_is_named_with_what_it_has_lost(tmp_path: Path, statistics: bool) -> None:
    write_shards(tmp_path, 4, 30, side=40, statistics=statistics)
    last = tmp_path / "00003.tar"
    content = last.read_bytes()
    last.write_bytes(content[: len(content) // 10])
    found = inspect(open_source(str(tmp_path)))
    (damaged,) = found.damaged
    assert damaged.startswith("00003.tar: the tar is damaged: it ends inside")
    if statistics:
        assert found.images + found.lost == 120
        assert damaged.endswith(f"{found.images - 90} of the 30 images in its statistics were found")
    else:  # by the bytes of the tar of median size
        assert abs(found.images + found.lost - 120) <= 2


def test_a_whole_shard_with_fewer_images_than_its_statistics_say_has_lost_them(tmp_path: Path) -> None:
    write_shards(tmp_path, 1, 4, side=40)
    (tmp_path / "00000_stats.json").write_text('{"successes": 6}')
    found = inspect(open_source(str(tmp_path)))
    assert (found.images, found.lost) == (4, 2)
    assert found.damaged == ["00000.tar: 4 of the 6 images in its statistics were found"]


def test_what_is_left_out_is_counted_by_kind(tmp_path: Path) -> None:
    photo = crops(1, side=40)[0]
    write_image_folder(tmp_path, {"0.jpg": photo, "1.JFIF": b"", "2.gif": b"", "3.gif": b"", "a/4.tif": b""})
    found = inspect(open_source(str(tmp_path)))
    assert (found.images, found.left_out) == (2, ["2 .gif, 1 .tif"])


def test_a_name_cannot_forge_lines_of_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image_folder(tmp_path, {"a\nfiles 99\x1b[31m\udcff.jpg": b"not an image"})
    print_inspection(str(tmp_path))
    said = capsys.readouterr().out
    assert "\x1b[31m" not in said
    assert r"a\nfiles 99\x1b[31m\udcff.jpg" in said
