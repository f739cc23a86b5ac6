"""transformers' image processors: our pixels are theirs, or the field that we cannot follow is named."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessor, SiglipImageProcessor

from diva.errors import InputError
from diva.towers import TowerInput
from diva.towers.formats.image_processor import read_image_processor

SIDE = 32
CLIP = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
SIGLIP = {"size": {"height": SIDE, "width": SIDE}}


def ours(folder: Path, photo: Image.Image, *, siglip: bool) -> torch.Tensor:
    fields: dict[str, Any] = read_image_processor(folder, siglip=siglip, side=SIDE)
    fields |= {key: tuple(fields[key]) for key in ("mean", "std")}
    return TowerInput(size=(SIDE, SIDE), **fields).image_transform()(photo)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"do_normalize": False},
        {"do_rescale": False},
        {"do_rescale": False, "do_normalize": False},
        {"rescale_factor": 1 / 127.5},
        {"resample": 2},
        {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]},
    ],
)
@pytest.mark.parametrize("siglip", [False, True])
def test_pixels_are_transformers_own(
    tmp_path: Path, photographs: list[Image.Image], fields: dict[str, Any], siglip: bool
) -> None:
    reader, usual = (SiglipImageProcessor, SIGLIP) if siglip else (CLIPImageProcessor, CLIP)
    processor = reader(**usual, **fields)
    processor.save_pretrained(tmp_path)
    # a centre that falls between pixels is another one to open_clip: only squares are cropped alike
    for photo in photographs if siglip else photographs[:1]:
        theirs = processor(photo, return_tensors="pt")["pixel_values"][0]
        # one step of 255, to which transformers' default backend and PIL round apart
        step = fields.get("rescale_factor", 1 / 255) if fields.get("do_rescale", True) else 1
        std = min(processor.image_std) if fields.get("do_normalize", True) else 1
        torch.testing.assert_close(
            ours(tmp_path, photo, siglip=siglip), theirs.float(), rtol=1e-5, atol=1.01 * step / std
        )


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"size": {"shortest_edge": 36}}, "size"),
        ({"size": {"longest_edge": SIDE}}, "size"),
        ({"size": "32"}, "size"),
        ({"crop_size": {"height": 16, "width": SIDE}}, "crop_size"),
        ({"do_resize": False}, "do_resize"),
        ({"do_center_crop": False}, "do_center_crop"),
        ({"do_pad": True}, "do_pad"),
        ({"do_normalize": "false"}, "do_normalize"),
        ({"resample": 1}, "resample"),
        ({"resample": [3]}, "resample"),
        ({"rescale_factor": "1/255"}, "rescale_factor"),
        ({"rescale_factor": 0}, "rescale_factor"),
        ({"image_mean": 0.5}, "image_mean"),
        ({"image_std": [0, 1, 1]}, "image_std"),
        ({"image_processor_type": "ViTImageProcessor"}, "image_processor_type"),
    ],
)
def test_what_we_cannot_follow_is_refused_by_the_field_s_name(
    tmp_path: Path, fields: dict[str, Any], named: str
) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(CLIP | fields))
    with pytest.raises(InputError, match=rf"preprocessor_config\.json: .*{named}"):
        read_image_processor(tmp_path, siglip=False, side=SIDE)


def test_sides_as_plain_numbers_are_read_as_old_files_have_them(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": SIDE, "crop_size": SIDE}))
    assert read_image_processor(tmp_path, siglip=False, side=SIDE)["resize_mode"] == "shortest"
    assert read_image_processor(tmp_path, siglip=True, side=SIDE)["resize_mode"] == "squash"
