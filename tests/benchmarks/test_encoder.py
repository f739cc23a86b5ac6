import io
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from diva.errors import Damaged, Failed
from diva.towers import Clip, load_clip
from diva_benchmarks.encoder import Encoder
from diva_benchmarks.stored_image import StoredImage
from diva_benchmarks.tensor_cache import TensorCache
from tests.fixtures.images import crops, encode, write_image_folder

TEXTS = ["a cat", "a rocket on the launch pad", "a cup of coffee"]


@pytest.fixture
def images(tmp_path: Path) -> list[StoredImage]:
    names = [f"{number:02d}.{('jpg', 'png', 'webp')[number % 3]}" for number in range(11)]
    write_image_folder(tmp_path / "images", dict(zip(names, crops(11), strict=True)))
    return [StoredImage(tmp_path / "images" / name) for name in names]


def encoder(clip: Clip, folder: Path | None = None, batch: int = 4) -> Encoder:
    return Encoder(clip, TensorCache(folder, Console(file=io.StringIO(), width=1000)), batch)


def said(of: Encoder) -> str:
    assert isinstance(of.cache.console.file, io.StringIO)
    return of.cache.console.file.getvalue()


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_images_are_encoded_in_order_as_open_clip_encodes_them(
    clip: Clip, images: list[StoredImage], batch: int
) -> None:
    transform = clip.input.image_transform()
    with torch.no_grad():
        pixels = torch.stack([transform(image.decode()) for image in images])
        expected = clip.model.encode_image(pixels)
    found = encoder(clip, batch=batch).images(images, "fingerprint", "photographs")
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found, clip.tower(pixels).pooled.detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("part", "key"), [("images", "visual.proj"), ("texts", "text_projection")])
def test_embeddings_that_are_not_finite_numbers_are_refused_every_time(
    tower_folder: Path, images: list[StoredImage], tmp_path: Path, part: str, key: str
) -> None:
    broken = load_clip(str(tower_folder))
    with torch.no_grad():
        broken.model.get_parameter(key)[0, 0] = torch.nan
    for _ in range(2):  # made, and as the cache may hold them
        of = encoder(broken, tmp_path / "cache")
        with pytest.raises(Failed, match="tower:"):
            of.images(images, "f" * 64, "photographs") if part == "images" else of.texts(TEXTS, "captions")


def test_texts_are_encoded_in_order(clip: Clip) -> None:
    torch.testing.assert_close(encoder(clip, batch=2).texts(TEXTS, "captions"), clip.encode_text(TEXTS))


def test_what_is_cached_is_read_by_every_encoder_of_the_same_tower_and_no_image_is_opened(
    clip: Clip, tower_folder: Path, images: list[StoredImage], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    expected = encoder(clip, cache).images(images, "f" * 64, "photographs")
    shutil.rmtree(tmp_path / "images")
    again = encoder(load_clip(str(tower_folder)), cache)
    assert torch.equal(again.images(images, "f" * 64, "photographs"), expected)
    assert said(again) == f"photographs: image embeddings of {tower_folder}: from the cache\n"


def test_towers_that_share_their_text_side_share_what_it_encoded(
    clip: Clip, other_clip: Clip, tower_folder: Path, tmp_path: Path
) -> None:
    trained = Path(shutil.copytree(tower_folder, tmp_path / "trained"))
    weights = trained / "open_clip_model.safetensors"
    state = load_file(weights)
    save_file({key: value + 0.1 if key.startswith("visual.") else value for key, value in state.items()}, weights)
    towers = [encoder(each) for each in (clip, load_clip(str(trained)), other_clip)]
    assert towers[0].text_tower == towers[1].text_tower != towers[2].text_tower
    assert len({tower.image_tower for tower in towers}) == 3


def test_preprocessing_and_activation_belong_to_the_tower(clip: Clip, tower_folder: Path, tmp_path: Path) -> None:
    before, seen = encoder(clip), set()
    for number, (old, new) in enumerate(
        [('"bicubic"', '"bilinear"'), ('"quick_gelu": true', '"quick_gelu": false')]
    ):
        folder = Path(shutil.copytree(tower_folder, tmp_path / str(number)))
        config = folder / "open_clip_config.json"
        assert old in config.read_text()
        config.write_text(config.read_text().replace(old, new))
        seen.add(encoder(load_clip(str(folder))).image_tower)
    assert before.image_tower not in seen
    assert len(seen) == 2


def test_other_texts_and_other_tokens_are_told_apart(clip: Clip) -> None:
    hashes = [encoder(clip).text_hash(texts) for texts in (TEXTS, TEXTS[:2], TEXTS[::-1])]
    assert len(set(hashes)) == 3
    assert encoder(clip).text_hash(TEXTS) == hashes[0]


def test_an_image_that_cannot_be_decoded_is_named_and_nothing_is_kept(
    clip: Clip, images: list[StoredImage], tmp_path: Path
) -> None:
    images[7].path.write_bytes(encode(crops(1)[0])[:500])
    with pytest.raises(Damaged, match=r"images/07\.png:"):
        encoder(clip, tmp_path / "cache").images(images, "f" * 64, "photographs")
    assert not (tmp_path / "cache").exists()
