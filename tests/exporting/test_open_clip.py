"""The open_clip folder, loaded by open_clip itself."""

import json
from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image

from diva.errors import Mismatch
from diva.exporting.open_clip_format import write_open_clip
from diva.towers import load_clip
from tests.fixtures.towers import FAMILIES, SENTENCES, transformers_model, write_tokenizer


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_open_clip_loads_weights_preprocessing_and_tokenizer(
    tiny_towers: dict[str, Path], photographs: list[Image.Image], tmp_path: Path, family: str
) -> None:
    clip = load_clip(str(tiny_towers[family]))
    write_open_clip(clip, tmp_path / "out")
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path / 'out'}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'out'}")
    pixels = torch.stack([preprocess(photograph) for photograph in photographs])
    assert torch.equal(model.eval().encode_image(pixels), clip.model.encode_image(pixels))
    assert torch.equal(model.encode_text(tokenizer(SENTENCES)), clip.encode_text(SENTENCES))
    assert torch.equal(preprocess(photographs[1]), clip.input.image_transform()(photographs[1]))


def test_changed_preprocessing_travels_with_the_weights(tiny_towers: dict[str, Path], tmp_path: Path) -> None:
    clip = load_clip(str(tiny_towers["openai-like"]))
    clip.input = clip.input.replace(mean=(0.1, 0.2, 0.3), interpolation="bilinear", resize_mode="squash")
    write_open_clip(clip, tmp_path / "out")
    assert load_clip(str(tmp_path / "out")).input == clip.input


def test_a_tower_of_an_architecture_that_open_clip_names_keeps_its_own_configuration(
    tiny_names: dict[str, str], tmp_path: Path
) -> None:
    name = tiny_names["openai-like"]
    write_open_clip(load_clip(name, random_weights=True), tmp_path / "out")
    document = json.loads((tmp_path / "out" / "open_clip_config.json").read_text())
    assert document["model_cfg"] == open_clip.get_model_config(name)
    assert load_clip(str(tmp_path / "out")).architecture == name


def test_without_its_tokenizer_a_siglip_is_written_with_a_warning(
    tiny_towers: dict[str, Path], tiny_names: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes((tiny_towers["siglip"] / "open_clip_model.safetensors").read_bytes())
    clip = load_clip(tiny_names["siglip"], weights)
    write_open_clip(clip, tmp_path / "out")
    assert "written without a tokenizer" in caplog.text
    assert "hf download" in caplog.text
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "open_clip_config.json",
        "open_clip_model.safetensors",
        "diva.sha256",
    }


@pytest.mark.usefixtures("tiny_names")
def test_a_tanh_siglip_says_that_open_clip_computes_it_differently(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    transformers_model("SiglipModel").save_pretrained(tmp_path / "in")
    write_tokenizer(tmp_path / "in")
    clip = load_clip(str(tmp_path / "in"))
    write_open_clip(clip, tmp_path / "out")
    assert "exact GELU" in caplog.text
    pixels = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
    exact, tanh = load_clip(str(tmp_path / "out")).tower(pixels).pooled, clip.tower(pixels).pooled
    assert 0 < (exact - tanh).abs().max() < 1e-2


def test_an_image_tower_alone_is_refused(tmp_path: Path) -> None:
    transformers_model("CLIPVisionModel").save_pretrained(tmp_path / "in")
    with pytest.raises(Mismatch, match="--to"):
        write_open_clip(load_clip(str(tmp_path / "in")), tmp_path / "out")
    assert not (tmp_path / "out").exists()
