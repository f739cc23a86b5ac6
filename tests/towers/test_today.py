"""Towers of every other kind that open_clip has: which tokens they give, against their trunk's own outputs."""

from pathlib import Path

import open_clip
import pytest
import torch
from open_clip import CLIP
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from diva.errors import Invalid, Mismatch
from diva.towers import Clip, Tower, load_clip
from tests.fixtures.towers import TODAY, tiny_clip_config, write_today

POOLED_ONLY = ("convnext", "resnet")


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Clip]:
    folder = tmp_path_factory.mktemp("today")
    return {family: load_clip(str(write_today(folder / family, family))) for family in TODAY}


@pytest.fixture
def pixels() -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def normed(norm: nn.Module, tokens: Tensor) -> Tensor:
    """A layer norm, or nothing, in double precision."""
    if isinstance(norm, nn.Identity):
        return tokens
    assert isinstance(norm, nn.LayerNorm)
    centred = tokens - tokens.mean(-1, keepdim=True)
    scaled = centred / (tokens.var(-1, unbiased=False, keepdim=True) + norm.eps).sqrt()
    return scaled * norm.weight.double() + norm.bias.double()


@pytest.mark.parametrize("family", [family for family in TODAY if family not in POOLED_ONLY])
@torch.no_grad()
def test_every_token_of_a_trunk_is_projected_as_its_pooled_token_is(
    towers: dict[str, Clip], family: str, pixels: Tensor
) -> None:
    clip = towers[family]
    trunk = clip.model.visual.trunk
    features = trunk.forward_features(pixels)
    patches, prefix = features[:, trunk.num_prefix_tokens :], trunk.num_prefix_tokens
    pooled = {
        "token": lambda: features[:, 0],
        "avg": lambda: patches.mean(1),
        "map": lambda: trunk.attn_pool(features),
    }[trunk.global_pool]()

    def joint(tokens: Tensor) -> Tensor:
        weight, bias = trunk.head.weight.double(), trunk.head.bias.double()
        return normed(trunk.fc_norm, tokens.double()) @ weight.T + bias

    tokens = clip.tower(pixels)
    side = 2 if family == "mobileclip-b" else 4
    assert (prefix, clip.tower.grid, clip.tower.width) == (1, (side, side), 24)
    assert tokens.patches.shape == (2, side**2, 24)
    torch.testing.assert_close(tokens.pooled.double(), joint(pooled), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(tokens.patches.double(), joint(patches), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(tokens.pooled, clip.model.encode_image(pixels))


@pytest.mark.parametrize("family", POOLED_ONLY)
@torch.no_grad()
def test_a_convolutional_tower_has_its_pooled_token_alone(
    towers: dict[str, Clip], family: str, pixels: Tensor
) -> None:
    clip = towers[family]
    tokens = clip.tower(pixels)
    torch.testing.assert_close(tokens.pooled, clip.model.encode_image(pixels))
    assert (clip.tower.width, clip.tower.patches, tokens.patches.shape) == (24, 0, (2, 0, 24))
    with pytest.raises(Mismatch, match=r"condition\.tokens:"):
        clip.tower.require_patches("condition.tokens")


@pytest.mark.parametrize("prefix", ["", "visual."])
@torch.no_grad()
def test_a_resnet_s_image_part_alone_is_read_from_a_file(
    towers: dict[str, Clip], pixels: Tensor, tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny-resnet", TODAY["resnet"])
    visual = towers["resnet"].model.visual
    torch.save({f"{prefix}{key}": value for key, value in visual.state_dict().items()}, tmp_path / "resnet.pt")
    clip = load_clip(str(tmp_path / "resnet.pt"))
    assert (clip.architecture, clip.has_text) == ("tiny-resnet", False)
    assert torch.equal(clip.tower(pixels).pooled, visual(pixels))


@torch.no_grad()
def test_a_mean_of_patches_is_normalised_after_pooling_where_the_library_does(pixels: Tensor) -> None:
    """CLIPA's ViTs."""
    fields = tiny_clip_config()["vision_cfg"] | {"pool_type": "avg", "final_ln_after_pool": True, "no_ln_pre": True}
    text = tiny_clip_config()["text_cfg"] | {"vocab_size": 8}
    torch.manual_seed(0)
    model = CLIP(32, fields, text).eval()
    nn.init.normal_(model.visual.ln_post.weight)
    seen: list[Tensor] = []
    model.visual.transformer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    expected = model.encode_image(pixels)
    tokens = Tower(model.visual)(pixels)
    joint = normed(model.visual.ln_post, seen[0][:, 1:].double()) @ model.visual.proj.double()
    torch.testing.assert_close(tokens.pooled, expected)
    torch.testing.assert_close(tokens.patches.double(), joint, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_captioner_s_attention_pool_leaves_the_pooled_token_alone(pixels: Tensor) -> None:
    torch.manual_seed(0)
    shape = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "heads": 2, "mlp_ratio": 2.0}
    options = {"attentional_pool": True, "attn_pooler_heads": 2, "output_dim": 16, "output_tokens": True}
    visual = VisionTransformer(**shape, **options).eval()
    tokens = Tower(visual)(pixels)
    assert torch.equal(tokens.pooled, visual(pixels)[0])
    assert tokens.patches.shape == (2, 0, 16)


@torch.no_grad()
def test_a_rectangle_of_patches_is_read_row_by_row() -> None:
    fields = tiny_clip_config()["vision_cfg"] | {"image_size": (16, 32)}
    torch.manual_seed(0)
    visual = CLIP(32, fields, tiny_clip_config()["text_cfg"] | {"vocab_size": 8}).visual.eval()
    tower, pixels = Tower(visual), torch.randn(1, 3, 16, 32)
    maps = visual.forward_intermediates(pixels, normalize_intermediates=True)["image_intermediates"][-1]
    assert (tower.grid, maps.shape[2:]) == ((2, 4), (2, 4))
    torch.testing.assert_close(tower(pixels).patches, maps.flatten(2).transpose(1, 2) @ visual.proj)


def test_a_trunk_that_reads_another_size_than_its_configuration_says_is_refused(towers: dict[str, Clip]) -> None:
    visual = towers["eva02"].model.visual
    visual.image_size = (64, 64)
    with pytest.raises(Invalid, match=r"image_size.*64.*64.*32.*32"):
        Tower(visual)


def test_training_leaves_the_statistics_of_batch_norms_alone(towers: dict[str, Clip], pixels: Tensor) -> None:
    for family in ("resnet", "mobileclip-b"):
        tower = towers[family].tower
        norms = [module for module in tower.modules() if isinstance(module, nn.BatchNorm2d)]
        before = [norm.running_mean.clone() for norm in norms]
        alone = tower.eval()(pixels[:1]).pooled
        together = tower.train()(pixels).pooled[:1]
        assert norms
        assert all(torch.equal(norm.running_mean, mean) for norm, mean in zip(norms, before, strict=True))
        torch.testing.assert_close(alone, together)
