"""Feature maps against the towers themselves, and against open_clip's and timm's own way to another size."""

import json
import shutil
from pathlib import Path

import open_clip
import pytest
import torch
from torch import Tensor

from diva.errors import InputError
from diva.towers import load_clip
from diva.towers.features import TowerFeatures
from diva.towers.tower import Tower
from tests.fixtures.image_only import write_timm
from tests.fixtures.towers import TODAY, write_today

FAMILIES = ("openai-like", "vit-h-like", "siglip")


def pictures(*size: int) -> Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


def as_map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    return tokens.unflatten(1, grid).permute(0, 3, 1, 2)


def at_size(folder: Path, size: tuple[int, int], place: Path) -> Tower:
    """Load the tower of `folder` at another size, the way its library does."""
    clip = load_clip(str(folder))
    if hasattr(clip.model.visual, "trunk"):
        clip.model.visual.set_input_size(size)
        return Tower(clip.model.visual)
    resized = Path(shutil.copytree(folder, place / "resized"))
    document = json.loads((folder / "open_clip_config.json").read_text())
    document["model_cfg"]["vision_cfg"]["image_size"] = list(size)
    (resized / "open_clip_config.json").write_text(json.dumps(document))
    return Tower(open_clip.create_model(f"local-dir:{resized}").eval().visual)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_at_the_native_size_the_joint_features_are_the_towers_patch_tokens(
    tiny_towers: dict[str, Path], family: str
) -> None:
    tower = load_clip(str(tiny_towers[family])).tower
    side = load_clip(str(tiny_towers[family])).input.size
    expected = as_map(tower(pictures(*side)).patches, tower.grid)
    (level,) = TowerFeatures(tower, [-1], joint=True)(pictures(*side))
    assert level.shape == expected.shape
    assert (level - expected).abs().max() < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("patches", [(7, 5), (2, 3), (6, 6)])
@torch.no_grad()
def test_at_another_size_they_are_those_of_the_library_s_own_resampling(
    tiny_towers: dict[str, Path], family: str, patches: tuple[int, int], tmp_path: Path
) -> None:
    features = TowerFeatures(load_clip(str(tiny_towers[family])).tower, [-1], joint=True)
    size = (patches[0] * features.patch[0], patches[1] * features.patch[1])
    resized = at_size(tiny_towers[family], size, tmp_path)
    expected = as_map(resized(pictures(*size)).patches, resized.grid)
    (level,) = features(pictures(*size))
    assert (level - expected).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["vit_small_patch14_dinov2", "vit_small_patch16_dinov3", "eva02", "pe-core"])
@pytest.mark.parametrize("patches", [(7, 5), (4, 4)])
@torch.no_grad()
def test_rotary_and_learned_positions_of_timm_s_are_turned_to_another_size(
    name: str, patches: tuple[int, int], tmp_path: Path
) -> None:
    folder = tmp_path / "tower"
    if name in TODAY:
        write_today(folder, name)
    else:
        write_timm(folder, name)
    tower = load_clip(str(folder)).tower
    features = TowerFeatures(tower, [-1], joint=True)
    size = (patches[0] * features.patch[0], patches[1] * features.patch[1])
    features(pictures(3 * features.patch[0], 6 * features.patch[1]))  # what another picture was like plays no part
    resized = at_size(folder, size, tmp_path)
    expected = as_map(resized(pictures(*size)).patches, resized.grid)
    (level,) = features(pictures(*size))
    assert level.shape == expected.shape
    assert (level - expected).abs().max() < 1e-4
    native = tower(pictures(*load_clip(str(folder)).input.size))  # the tower itself stays at its own size
    assert native.patches.shape[1] == tower.patches


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_levels_are_the_blocks_that_were_chosen_each_normalised(tiny_towers: dict[str, Path], family: str) -> None:
    clip = load_clip(str(tiny_towers[family]))
    features = TowerFeatures(clip.tower, [0, -1], joint=False)
    first, last = features(pictures(*clip.input.size))
    (alone,) = TowerFeatures(clip.tower, [0], joint=False)(pictures(*clip.input.size))
    assert first.shape == last.shape == (2, features.width, *clip.tower.grid)
    assert torch.equal(first, alone)
    assert not torch.allclose(first, last, atol=0.1)


@torch.no_grad()
def test_a_size_that_the_patch_does_not_divide_is_filled_up(tiny_towers: dict[str, Path]) -> None:
    features = TowerFeatures(load_clip(str(tiny_towers["openai-like"])).tower, [-1], joint=False)
    odd = pictures(35, 50)
    filled = torch.nn.functional.pad(odd, (0, 6, 0, 5))
    (level,) = features(odd)
    assert level.shape[-2:] == (5, 7)
    assert torch.equal(level, features(filled)[0])


def test_gradients_reach_the_position_embeddings_through_the_resampling(tiny_towers: dict[str, Path]) -> None:
    features = TowerFeatures(load_clip(str(tiny_towers["siglip"])).tower, [-1], joint=False)
    features(pictures(48, 24))[0].square().mean().backward()
    (gradient,) = (value.grad for name, value in features.named_parameters() if name.endswith("pos_embed"))
    assert gradient is not None
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("blocks", [[3], [-4], []])
def test_blocks_that_are_not_there_are_named(tiny_towers: dict[str, Path], blocks: list[int]) -> None:
    tower = load_clip(str(tiny_towers["openai-like"])).tower
    with pytest.raises(InputError, match=r"out_blocks: .* are no blocks of this tower; give some of 0 to 2"):
        TowerFeatures(tower, blocks, joint=False)


def test_blocks_out_of_order_are_refused(tiny_towers: dict[str, Path]) -> None:
    tower = load_clip(str(tiny_towers["openai-like"])).tower
    with pytest.raises(InputError, match=r"out_blocks: \[-1, 0\] must rise"):
        TowerFeatures(tower, [-1, 0], joint=False)
