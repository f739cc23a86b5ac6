"""The tokens of a tower, against the library's own numbers and against closed forms."""

from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from diva.errors import Invalid
from diva.towers import ZOO, Clip, Tower, load_clip
from diva.towers.tower import parameter_count
from diva.towers.zoo import PUBLISHED
from tests.fixtures.towers import FAMILIES

FAMILY = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture
def clip(tiny_towers: dict[str, Path], family: str) -> Clip:
    return load_clip(str(tiny_towers[family]))


@pytest.fixture
def pixels(clip: Clip, photographs: list[Image.Image]) -> Tensor:
    return torch.stack([clip.input.image_transform()(photograph) for photograph in photographs])


@FAMILY
@torch.no_grad()
def test_the_pooled_token_is_the_library_s_own_embedding(clip: Clip, pixels: Tensor) -> None:
    torch.testing.assert_close(clip.tower(pixels).pooled, clip.model.encode_image(pixels), atol=1e-6, rtol=1e-6)


@FAMILY
@torch.no_grad()
def test_patch_tokens_are_the_library_s_last_intermediates_in_raster_order(clip: Clip, pixels: Tensor) -> None:
    tokens = clip.tower(pixels)
    grid = clip.model.visual.forward_intermediates(pixels, normalize_intermediates=True)["image_intermediates"][-1]
    raster = grid.permute(0, 2, 3, 1).reshape(len(pixels), -1, grid.shape[1])
    proj = getattr(clip.model.visual, "proj", None)
    expected = raster if proj is None else raster @ proj
    assert tokens.patches.shape == (len(pixels), clip.tower.patches, clip.tower.width)
    torch.testing.assert_close(tokens.patches, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("family", ["openai-like", "vit-h-like"])
@torch.no_grad()
def test_every_vit_token_takes_the_pooled_token_s_way_into_the_joint_space(clip: Clip, pixels: Tensor) -> None:
    seen: list[Tensor] = []
    visual = clip.model.visual
    visual.transformer.resblocks[-1].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    tokens = clip.tower(pixels)
    # layer norm and projection written out in double precision
    last = seen[0].double()
    centred = last - last.mean(-1, keepdim=True)
    normed = centred / (last.var(-1, unbiased=False, keepdim=True) + visual.ln_post.eps).sqrt()
    joint = (normed * visual.ln_post.weight + visual.ln_post.bias) @ visual.proj.double()
    torch.testing.assert_close(tokens.pooled.double(), joint[:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tokens.patches.double(), joint[:, 1:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["siglip"])
@torch.no_grad()
def test_siglip_s_pooled_token_is_the_attention_pool_of_its_patch_tokens(clip: Clip, pixels: Tensor) -> None:
    tokens, pool = clip.tower(pixels), clip.model.visual.trunk.attn_pool
    width, heads = clip.tower.width, pool.num_heads
    query = pool.q(pool.latent).reshape(heads, width // heads)
    keys, values = pool.kv(tokens.patches).chunk(2, dim=-1)
    keys, values = (part.unflatten(-1, (heads, -1)) for part in (keys, values))
    share = torch.einsum("hd,bnhd->bhn", query, keys).div((width // heads) ** 0.5).softmax(-1)
    pooled = pool.proj(torch.einsum("bhn,bnhd->bhd", share, values).flatten(1))
    torch.testing.assert_close(tokens.pooled, pooled + pool.mlp(pool.norm(pooled)), atol=1e-5, rtol=1e-5)


@FAMILY
def test_gradients_reach_the_whole_tower_with_and_without_checkpointing(clip: Clip, pixels: Tensor) -> None:
    gradients = []
    for checkpointing in (False, True):
        clip.tower.set_grad_checkpointing(checkpointing)
        clip.tower.zero_grad()
        clip.tower.train()
        tokens = clip.tower(pixels)
        (tokens.pooled.square().mean() + tokens.patches.square().mean()).backward()
        assert all(parameter.grad is not None for parameter in clip.tower.parameters())
        gradients.append([parameter.grad.clone() for parameter in clip.tower.parameters()])
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ZOO)
def test_the_published_towers_have_the_published_numbers_of_parameters(name: str) -> None:
    entry = ZOO[name]
    with torch.device("meta"):
        model = open_clip.create_model(entry.architecture, device="meta", load_weights=False)
    published = {427.6, 427.9, 986.1, 877.4, 878.0, 986.7}
    assert round(parameter_count(model) / 1e6, 1) == entry.parameters
    assert entry.parameters in published or name not in PUBLISHED
    tower = Tower(model.visual)
    assert tower.patches == (entry.size // (16 if "16" in entry.title else 14)) ** 2
    assert model.visual.image_size == (entry.size, entry.size)


def test_what_is_no_image_tower_of_open_clip_s_is_refused() -> None:
    with pytest.raises(Invalid, match=r"Linear.*open_clip's"):
        Tower(nn.Linear(2, 2))
