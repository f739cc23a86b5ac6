"""The published architectures at full size, with random weights: minutes and gigabytes, so `make test-slow`."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoModel

from diva.exporting.transformers_format import fill_transformers
from diva.towers import load_clip
from tests.exporting.test_transformers import our_hidden_states


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["ViT-L-14-quickgelu", "ViT-H-14-quickgelu", "ViT-SO400M-14-SigLIP"])
@torch.no_grad()
def test_a_full_size_tower_agrees_in_both_libraries_and_comes_back_bit_by_bit(
    photographs: list[Image.Image], tmp_path: Path, architecture: str
) -> None:
    torch.manual_seed(0)
    clip = load_clip(architecture, random_weights=True)
    fill_transformers(clip, tmp_path / "out")
    model = AutoModel.from_pretrained(tmp_path / "out")
    pixels = torch.stack([clip.input.image_transform()(photograph) for photograph in photographs[:2]])
    for mine, theirs in zip(
        our_hidden_states(clip, pixels),
        model.vision_model(pixels, output_hidden_states=True).hidden_states,
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        clip.tower(pixels).pooled, model.get_image_features(pixels).pooler_output, atol=1e-5, rtol=1e-5
    )
    text = clip.config["text_cfg"]
    tokens = torch.randint(1, text["vocab_size"] - 1, (2, text["context_length"]))
    tokens[:, 10] = text["vocab_size"] - 1  # where a CLIP text ends
    torch.testing.assert_close(
        clip.model.encode_text(tokens), model.get_text_features(tokens).pooler_output, atol=1e-5, rtol=1e-5
    )
    del model
    back = load_clip(str(tmp_path / "out"))
    expected = clip.model.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in back.model.state_dict().items())
    assert back.architecture == architecture
