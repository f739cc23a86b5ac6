"""What a tower is shown, against open_clip's own transform and torchvision's functions."""

from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from diva.towers import TowerInput, load_clip
from tests.fixtures.towers import FAMILIES

OPENAI = TowerInput(
    size=(224, 224),
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    interpolation="bicubic",
    resize_mode="shortest",
)


@pytest.mark.parametrize("family", FAMILIES)
def test_pil_images_go_through_open_clip_s_own_transform(
    tiny_towers: dict[str, Path], photographs: list[Image.Image], family: str
) -> None:
    folder = tiny_towers[family]
    _, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    tower_input = load_clip(str(folder)).input
    for photograph in photographs:
        assert torch.equal(tower_input.image_transform()(photograph), transform(photograph))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("resize_mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("size", [(224, 224), (336, 336), (378, 378), (192, 320), (256, 160)])
def test_a_square_tensor_is_prepared_like_the_photograph_it_came_from(
    photographs: list[Image.Image], interpolation: str, resize_mode: str, size: tuple[int, int]
) -> None:
    tower_input = OPENAI.replace(size=size, interpolation=interpolation, resize_mode=resize_mode)
    square = photographs[0]
    rgb = pil_to_tensor(square)[None] / 255
    difference = (tower_input.from_rgb(rgb)[0] - tower_input.image_transform()(square)).abs()
    grey_levels = difference * torch.tensor(OPENAI.std)[:, None, None] * 255
    # PIL rounds to whole grey levels after each of its two passes, and clips bicubic overshoot in between
    assert grey_levels.mean() < 0.3
    bicubic = interpolation == "bicubic" or (resize_mode == "shortest" and size[0] != size[1])
    assert (grey_levels > 1).float().mean() < (0.002 if bicubic else 1e-9)
    assert grey_levels.max() < 6


def test_antialias_is_a_choice_that_changes_what_the_tower_sees(photographs: list[Image.Image]) -> None:
    rgb = pil_to_tensor(photographs[0])[None] / 255
    blurred = OPENAI.from_rgb(rgb)
    aliased = OPENAI.replace(antialias=False).from_rgb(rgb)
    assert (blurred - aliased).abs().max() > 0.5


def test_bicubic_overshoot_is_clipped_as_pil_clips_it() -> None:
    stripes = torch.zeros(1, 3, 64, 64)
    stripes[..., ::8] = 1
    seen = OPENAI.replace(size=(224, 224), mean=(0, 0, 0), std=(1, 1, 1)).from_rgb(stripes)
    assert seen.min() == 0
    assert seen.max() <= 1
