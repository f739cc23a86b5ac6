"""Decoding and cropping: against PIL, numpy and torchvision."""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms

from diva.data import to_unit_range
from diva.data.decode import decode, random_crop, seeded_crop, to_rgb
from diva.data.raw import FileSlice
from diva.images import UnusableError
from tests.fixtures.images import crops, encode, photographs


@dataclass(frozen=True)
class InMemory:
    content: bytes
    key: str = "photo"

    def load(self) -> bytes:
        return self.content


def saved(image: Image.Image, encoding: str, **options: object) -> InMemory:
    buffer = io.BytesIO()
    image.save(buffer, encoding, **options)
    return InMemory(buffer.getvalue())


@pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
def test_the_pixels_are_pils(extension: str) -> None:
    content = encode(photographs()[0], extension)
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(to_rgb(decode(InMemory(content), 32)), expected)


@pytest.mark.parametrize(
    ("mode", "encoding"), [("L", "JPEG"), ("L", "PNG"), ("LA", "PNG"), ("1", "PNG"), ("CMYK", "JPEG")]
)
def test_other_colour_modes_become_rgb(mode: str, encoding: str) -> None:
    original = crops(1, side=64)[0].convert(mode)
    image = decode(saved(original, encoding), 32)
    assert image.mode == mode
    rgb = np.asarray(to_rgb(image), dtype=int)
    assert rgb.shape == (64, 64, 3)
    expected = np.asarray(original.convert("RGB"), dtype=int)
    assert np.abs(rgb - expected).mean() < (6 if encoding == "JPEG" else 1e-9)


def test_a_palette_gives_its_colours_and_transparency_is_dropped() -> None:
    palette = Image.new("P", (40, 40), 1)
    palette.putpalette([0, 0, 0, 200, 100, 50])
    image = decode(saved(palette, "PNG", transparency=bytes([0, 128])), 32)
    assert image.mode == "P"
    assert to_rgb(image).getcolors() == [(1600, (200, 100, 50))]


def test_transparent_pixels_keep_their_colour() -> None:
    image = decode(saved(Image.new("RGBA", (40, 40), (10, 20, 30, 0)), "PNG"), 32)
    assert to_rgb(image).getcolors() == [(1600, (10, 20, 30))]


def test_16_bit_greys_keep_their_range() -> None:
    levels = np.linspace(0, 65535, 40 * 40, dtype=np.uint16).reshape(40, 40)
    rgb = np.asarray(to_rgb(decode(saved(Image.fromarray(levels), "PNG"), 32)), dtype=float)
    np.testing.assert_allclose(rgb, np.repeat((levels / 257)[..., None], 3, axis=2), atol=1)


def test_32_bit_pixels_are_unusable() -> None:
    image = decode(saved(Image.fromarray(np.ones((40, 40), dtype=np.float32)), "TIFF"), 32)
    with pytest.raises(UnusableError, match="mode F have no known range"):
        to_rgb(image)


@pytest.mark.parametrize(("size", "usable"), [((32, 100), True), ((31, 100), False), ((100, 31), False)])
def test_the_shorter_side_decides_what_is_tiny(size: tuple[int, int], usable: bool) -> None:
    raw = InMemory(encode(Image.new("RGB", size)))
    if usable:
        assert decode(raw, 32).size == size
    else:
        with pytest.raises(UnusableError, match=f"only {size[0]} × {size[1]} pixels"):
            decode(raw, 32)


UPRIGHT = {  # by EXIF orientation: how the stored pixels become the picture, in numpy's terms
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("encoding", ["JPEG", "PNG", "WEBP"])
def test_a_photograph_stands_upright_whichever_way_the_camera_was_held(encoding: str, orientation: int) -> None:
    photo = photographs()[1].resize((60, 44))
    exif = photo.getexif()
    exif[0x0112] = orientation
    stored = saved(photo, encoding, exif=exif)
    pixels = np.asarray(Image.open(io.BytesIO(stored.content)).convert("RGB"))
    image = decode(stored, 32)
    np.testing.assert_array_equal(to_rgb(image), UPRIGHT[orientation](pixels))
    assert image.format == encoding


@settings(deadline=None)
@given(place=st.integers(0, 60), value=st.binary(min_size=1, max_size=8))
def test_damaged_exif_costs_nothing_but_the_orientation(place: int, value: bytes) -> None:
    photo = crops(1, side=64)[0]
    exif = photo.getexif()
    exif[0x0112] = 6
    whole = exif.tobytes()
    damaged = whole[:place] + value + whole[place + len(value) :]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PIL's, of just that
        assert decode(saved(photo, "JPEG", exif=damaged), 32).size == (64, 64)


def test_a_damaged_avif_is_unusable() -> None:
    content = saved(crops(1, side=64)[0], "AVIF").content
    half = len(content) // 2
    with pytest.raises(UnusableError, match="Failed to decode"):  # which PIL raises as a RuntimeError
        decode(InMemory(content[:half] + bytes(half)), 32)


@settings(deadline=None)
@given(extension=st.sampled_from(["jpg", "png"]), share=st.floats(0, 0.95))
def test_an_image_cut_anywhere_is_unusable(extension: str, share: float) -> None:
    content = encode(crops(1, side=64)[0], extension)
    with pytest.raises(UnusableError):
        decode(InMemory(content[: int(share * len(content))]), 32)


@settings(deadline=None)
@given(content=st.binary(max_size=200))
def test_arbitrary_bytes_are_unusable(content: bytes) -> None:
    for start in (b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x10\0\0\0WEBPVP8 "):
        with pytest.raises(UnusableError):
            decode(InMemory(start + content), 32)


def test_a_file_that_has_gone_is_unusable(tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match="No such file"):
        decode(FileSlice("gone.jpg", str(tmp_path / "gone.jpg")), 32)


@pytest.mark.parametrize("seed", range(5))
def test_the_crop_is_torchvisions_random_resized_crop(seed: int) -> None:
    photo = photographs()[seed]
    bicubic = transforms.InterpolationMode.BICUBIC
    published = transforms.RandomResizedCrop(64, scale=(0.9, 1.0), ratio=(3 / 4, 4 / 3), interpolation=bicubic)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        expected = transforms.functional.pil_to_tensor(published(photo))
    crop = seeded_crop(random_crop(64, (0.9, 1.0)), photo, seed)
    assert crop.dtype == torch.uint8
    assert torch.equal(crop, expected)


@settings(max_examples=25, deadline=None)
@given(width=st.integers(32, 200), height=st.integers(32, 200), seed=st.integers(0, 2**64 - 1))
def test_every_image_becomes_a_square(width: int, height: int, seed: int) -> None:
    crop = seeded_crop(random_crop(48, (0.9, 1.0)), Image.new("RGB", (width, height), (250, 128, 3)), seed)
    assert crop.shape == (3, 48, 48)
    assert crop.flatten(1).unique(dim=1).flatten().tolist() == [250, 128, 3]


def test_the_crop_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    seeded_crop(random_crop(48, (0.9, 1.0)), photographs()[0], 7)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_unit_range_is_exact() -> None:
    unit = to_unit_range(torch.arange(256, dtype=torch.uint8))
    assert unit.dtype == torch.float32
    np.testing.assert_array_equal(unit, np.arange(256, dtype=np.float32) / np.float32(255))
