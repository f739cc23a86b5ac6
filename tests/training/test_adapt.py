from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from diva.errors import Mismatch, Unknown
from diva.recipes.stages import LastBlocks, Lora, WholeTower
from diva.towers import Tower, load_clip
from diva.training.adapt import adapt, plain_state
from tests.fixtures.towers import FAMILIES, TODAY, write_today

BLOCKS = {"openai-like": 3, "vit-h-like": 4, "siglip": 3}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def load(family: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Tower]:
    folder = FAMILIES[family](tmp_path_factory.mktemp(family) / "tower")
    return lambda: load_clip(str(folder)).tower


def pixels(tower: Tower) -> Tensor:
    size = {16: 32, 9: 42}[tower.patches]
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))


def outputs(tower: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        tokens = tower(images)
    return torch.cat([tokens.pooled, tokens.patches.flatten(1)], dim=1)


def trained(tower: Tower) -> set[str]:
    return {name for name, parameter in tower.named_parameters() if parameter.requires_grad}


def disturb(tower: Tower) -> None:
    """Move every trained weight, as training would."""
    generator = torch.Generator().manual_seed(1)
    for parameter in tower.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)


def test_a_new_adapter_changes_nothing_and_leaves_the_tower_itself_alone(load: Callable[[], Tower]) -> None:
    tower = load()
    state = {name: value.clone() for name, value in tower.state_dict().items()}
    adapted = adapt(tower, Lora(dropout=0.0))
    torch.testing.assert_close(outputs(adapted, pixels(tower)), outputs(tower, pixels(tower)), rtol=1e-4, atol=1e-5)
    disturb(adapted)
    assert all(torch.equal(value, state[name]) for name, value in tower.state_dict().items())


@pytest.mark.parametrize("bias", ["none", "lora_only"])
def test_a_merged_adapter_equals_the_unmerged_one(load: Callable[[], Tower], bias: str) -> None:
    adapted = adapt(load(), Lora(rank=3, alpha=5, bias=bias)).eval()
    disturb(adapted)
    wanted = outputs(adapted, pixels(adapted))
    plain = load()
    before = outputs(plain, pixels(plain))
    plain.load_state_dict(plain_state(adapted))
    found = outputs(plain, pixels(plain))
    assert (wanted - before).norm() / before.norm() > 0.05
    assert (found - wanted).abs().max() / wanted.abs().max() < 1e-5
    assert (outputs(adapted, pixels(adapted)) - wanted).abs().max() == 0  # merging was done on a copy


def test_query_key_and_value_are_updated_apart_and_with_every_other_linear_layer(
    family: str, load: Callable[[], Tower]
) -> None:
    names = {name.rsplit(".lora_A", 1)[0] for name in trained(adapt(load(), Lora(bias="none"))) if "lora_A" in name}
    linear = {"openai-like": 6, "vit-h-like": 6, "siglip": 6}[family]  # q, k, v, out, and the MLP's two
    head = {"siglip": 5}.get(family, 0)  # attention pooling: q, kv, proj, and its MLP's two
    assert len(names) == linear * BLOCKS[family] + head
    assert sum(name.endswith(("q_proj", "k_proj", "v_proj")) for name in names) == 3 * BLOCKS[family]


def test_bias_lora_only_trains_the_biases_of_updated_layers(load: Callable[[], Tower]) -> None:
    names = trained(adapt(load(), Lora(targets=("fc1", "c_fc")[:1] if _timm(load()) else ("c_fc",))))
    biases = {name for name in names if name.endswith("bias")}
    assert biases
    assert all("fc1" in name or "c_fc" in name for name in names)


def _timm(tower: Tower) -> bool:
    return hasattr(tower.visual, "trunk")


def test_a_target_that_is_no_linear_layer_is_named(load: Callable[[], Tower]) -> None:
    with pytest.raises(Unknown, match=r"tower\.adapt\.targets: .*'q_prj'"):
        adapt(load(), Lora(targets=("q_prj",)))


def test_the_last_blocks_and_what_follows_them_are_trained(family: str, load: Callable[[], Tower]) -> None:
    tower = load()
    names = trained(adapt(tower, LastBlocks(blocks=2)))
    stem = "visual.trunk.blocks" if _timm(tower) else "visual.transformer.resblocks"
    depth = BLOCKS[family]
    blocks = {name.removeprefix(f"{stem}.").split(".")[0] for name in names if name.startswith(stem)}
    assert blocks == {str(depth - 2), str(depth - 1)}
    rest = {name for name in names if not name.startswith(stem)}
    behind = ("visual.trunk.norm", "visual.trunk.attn_pool") if _timm(tower) else ("visual.ln_post", "visual.proj")
    assert rest == {name for name, _ in tower.named_parameters() if name.startswith(behind)}
    with pytest.raises(Mismatch, match=f"{depth}.*9"):
        adapt(tower, LastBlocks(blocks=9))


def test_the_whole_tower_is_the_tower_itself(load: Callable[[], Tower]) -> None:
    tower = load()
    assert adapt(tower, WholeTower()) is tower
    assert trained(tower) == {name for name, _ in tower.named_parameters()}
    assert plain_state(tower).keys() == tower.state_dict().keys()


@pytest.mark.parametrize("kind", [kind for kind in TODAY if kind != "resnet"])
def test_low_rank_updates_reach_and_leave_every_other_kind_of_tower(kind: str, tmp_path: Path) -> None:
    """In particular attention that reads its layer's weight, and not the layer."""
    folder = write_today(tmp_path / kind, kind)
    plain, images = load_clip(str(folder)).tower.eval(), torch.randn(3, 3, 32, 32)
    before = outputs(plain, images)
    adapted = adapt(load_clip(str(folder)).tower, Lora(rank=2, alpha=4, dropout=0.0, bias="none")).eval()
    torch.testing.assert_close(outputs(adapted, images), before, rtol=1e-4, atol=1e-4)
    tokens = adapted(images)
    (tokens.pooled.square().mean() + tokens.patches.square().sum()).backward()
    updated = {name: parameter.grad for name, parameter in adapted.named_parameters() if "lora_B" in name}
    assert updated
    assert all(gradient is not None and gradient.abs().max() > 0 for gradient in updated.values())
    disturb(adapted)
    wanted = outputs(adapted, images)
    assert (wanted - before).norm() / before.norm() > 0.01
    plain.load_state_dict(plain_state(adapted))
    torch.testing.assert_close(outputs(plain, images), wanted, rtol=1e-3, atol=1e-3)


def test_a_resnet_is_trained_as_a_whole_alone(tmp_path: Path) -> None:
    tower = load_clip(str(write_today(tmp_path / "resnet", "resnet"))).tower
    with pytest.raises(Mismatch, match=r"tower\.adapt\.type: .*ResNet"):
        adapt(tower, Lora())
    with pytest.raises(Mismatch, match=r"tower\.adapt\.blocks:"):
        adapt(tower, LastBlocks(blocks=1))
    assert trained(adapt(tower, WholeTower()))
