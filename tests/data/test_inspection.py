"""What `diva data inspect` says about a source."""

import io
from pathlib import Path

from PIL import Image

from diva.data import Spread, fingerprint, inspect, open_source
from tests.fixtures.images import write_image_folder


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
    assert (found.too_small, found.undecodable) == (1, 2)
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
    assert (found.undecodable, found.shorter_side, found.longer_side) == (1, None, None)
