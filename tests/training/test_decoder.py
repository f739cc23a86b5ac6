"""un²CLIP from a plain teacher: a decoder for the tower, then a tower that learned from its own decoder."""

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import StableUnCLIPImg2ImgPipeline
from safetensors.torch import load_file

from diva.recipes import Recipe
from diva.towers import load_clip
from diva.training import train

Tiny = Callable[..., Recipe]
TOWER = "tower/open_clip_model.safetensors"


def unclip(tiny: Tiny, trained: str, **denoiser: object) -> Recipe:
    optimizer = {"type": "adamw", "lr": 1e-3}
    return tiny(
        condition={"type": "image_embedding"},
        denoiser={"type": "unclip", **denoiser},
        stages=[{"train": [trained], "steps": 2, "warmup": 0, "optimizer": optimizer}],
    )


def test_a_decoder_is_made_trained_and_teaches_its_tower(tiny: Tiny, teacher_folder: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train(unclip(tiny, "denoiser", path=str(teacher_folder), fit_images=30), first)
    none = {"image_encoder": None, "feature_extractor": None}
    decoder = StableUnCLIPImg2ImgPipeline.from_pretrained(first / "denoiser", **none)
    trained = decoder.unet.state_dict()
    assert trained["class_embedding.linear_2.weight"].abs().sum() > 0  # it began as zeros
    before = load_file(teacher_folder / "unet" / "diffusion_pytorch_model.safetensors")
    assert not torch.equal(trained["conv_in.weight"], before["conv_in.weight"])
    original = load_clip(tiny().tower.name).model.state_dict()["visual.conv1.weight"]
    assert torch.equal(load_file(first / TOWER)["visual.conv1.weight"], original)

    train(unclip(tiny, "tower", path=str(first / "denoiser")), second)
    assert not torch.equal(load_file(second / TOWER)["visual.conv1.weight"], original)
