"""The tower as mmsegmentation sees it."""

from pathlib import Path

import pytest
import torch
from mmseg.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from diva.errors import Mismatch
from diva_downstream.segmentation.backbone import DivaTower
from diva_downstream.segmentation.layer_decay import TowerLayerDecay

PICTURES = torch.randn(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))


def build(tower: Path, **options: object) -> DivaTower:
    return MODELS.build({"type": "DivaTower", "tower": str(tower), **options})


def test_a_frozen_tower_gives_maps_without_gradients_and_stays_in_eval(trained: Path) -> None:
    backbone = build(trained, out_blocks=[1, 3]).train()
    first, last = backbone(PICTURES)
    assert first.shape == last.shape == (2, 96, 6, 8)
    assert not last.requires_grad
    assert not any(module.training for module in backbone.features.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_a_frozen_tower_is_no_part_of_a_checkpoint_and_is_not_missed_in_one(trained: Path) -> None:
    model = nn.Sequential(build(trained, out_blocks=[0, 1, 2, 3], pyramid=True), nn.Conv2d(96, 3, 1))
    state = model.state_dict()
    assert not [key for key in state if "features" in key]
    assert [key for key in state if "pyramid" in key]
    model.load_state_dict(state)


def test_initialising_a_model_leaves_the_tower_as_it_was_trained(tiny_towers: dict[str, Path]) -> None:
    backbone = build(tiny_towers["siglip"], frozen=False)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    backbone.init_weights()
    assert all(torch.equal(before[key], value) for key, value in backbone.state_dict().items())


def test_a_pyramid_has_four_scales_and_is_trained_on_a_frozen_tower(trained: Path) -> None:
    levels = build(trained, out_blocks=[0, 1, 2, 3], pyramid=True).train()(PICTURES)
    assert [tuple(level.shape[1:]) for level in levels] == [(96, 24, 32), (96, 12, 16), (96, 6, 8), (96, 3, 4)]
    assert levels[0].requires_grad


def test_a_pyramid_of_another_number_of_blocks_is_refused(trained: Path) -> None:
    with pytest.raises(Mismatch, match=r"out_blocks: .*4.*1"):
        build(trained, pyramid=True)


@pytest.mark.parametrize("family", ["openai-like", "siglip"])
def test_checkpointing_gives_the_same_gradients(tiny_towers: dict[str, Path], family: str) -> None:
    gradients = []
    for checkpointing in (False, True):
        backbone = build(tiny_towers[family], frozen=False, grad_checkpointing=checkpointing).train()
        backbone(PICTURES)[-1].square().mean().backward()
        gradients.append(
            {name: value.grad for name, value in backbone.named_parameters() if value.grad is not None}
        )
    plain, recomputed = gradients
    assert plain.keys() == recomputed.keys()
    assert any("position" in name or "pos_embed" in name for name in plain)
    for name, gradient in plain.items():
        assert torch.allclose(gradient, recomputed[name], atol=1e-6), name


@pytest.mark.parametrize(
    ("family", "blocks", "embeddings"),
    [
        ("openai-like", "features._reader.visual.transformer.resblocks", "features._reader.visual.conv1"),
        ("siglip", "features._reader.visual.trunk.blocks", "features._reader.visual.trunk.patch_embed"),
    ],
)
def test_each_block_learns_a_power_of_the_decay_slower_than_the_head(
    tiny_towers: dict[str, Path], family: str, blocks: str, embeddings: str
) -> None:
    model = nn.ModuleDict({"backbone": build(tiny_towers[family], frozen=False), "head": nn.Conv2d(64, 3, 1)})
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
        {
            "type": "TowerLayerDecay",
            "optim_wrapper_cfg": {"optimizer": {"type": "AdamW", "lr": 1.0, "weight_decay": 0.1}},
            "paramwise_cfg": {"decay": 0.5},
        }
    )
    assert isinstance(constructor, TowerLayerDecay)
    groups = {id(group["params"][0]): group for group in constructor(model).optimizer.param_groups}
    named = {name: groups[id(parameter)] for name, parameter in model.named_parameters()}
    rates = {name: group["lr"] for name, group in named.items()}
    assert {rate for name, rate in rates.items() if name.startswith("head.")} == {1.0}
    for block, rate in enumerate((0.125, 0.25, 0.5)):
        assert {each for name, each in rates.items() if f"{blocks}.{block}." in name} == {rate}
    assert {rate for name, rate in rates.items() if embeddings in name} == {0.0625}
    assert {group["weight_decay"] for name, group in named.items() if name.endswith("bias")} == {0}
    assert named["head.weight"]["weight_decay"] == 0.1
