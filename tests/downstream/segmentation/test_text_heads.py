"""The heads that read class names: SAN's halves against open_clip's own encoders, and the training-free head."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from mmseg.utils import get_predefined_templates
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize

from diva.errors import Mismatch
from diva.towers import load_clip
from diva_downstream.segmentation.class_text import ClassText, class_embeddings
from diva_downstream.segmentation.side_adapter import SideAdapterTower
from diva_downstream.segmentation.training_free import NearestClassName

CLASSES = ("sky", "grass", "a red ball")


@pytest.fixture(autouse=True)
def _scope() -> None:
    init_default_scope("mmseg")


def side_adapter(tower: Path) -> SideAdapterTower:
    adapter = {"patch_size": 8, "embed_dims": 32, "depth": 4, "heads": 4}
    config = {"type": "SideAdapterTower", "tower": str(tower), "classes": CLASSES, "queries": 5, "adapter": adapter}
    return MODELS.build({**config, "encoder_resolution": 1, "test_cfg": {"mode": "whole"}}).eval()


@pytest.fixture
def wide_tower(tiny_towers: dict[str, Path]) -> Path:
    """Return a tower of four blocks with exact GELU, heads of 20 channels and an odd grid."""
    return tiny_towers["vit-h-like"]


@pytest.mark.parametrize("kind", ["trained", "vit-h-like"])
@torch.no_grad()
def test_a_query_that_sees_every_patch_recognises_the_towers_own_image_embedding(
    trained: Path, wide_tower: Path, kind: str
) -> None:
    folder = trained if kind == "trained" else wide_tower
    clip, model = load_clip(str(folder)), side_adapter(folder)
    pictures = torch.randn(2, 3, *clip.input.size, generator=torch.Generator().manual_seed(0))
    levels = model.image_encoder(pictures)
    heads = model.decode_head.rec_with_attnbias.num_heads
    unbiased = torch.zeros(2, heads, 5, *clip.tower.grid)
    recognised = model.decode_head.rec_with_attnbias([unbiased], levels[-1])
    expected = normalize(clip.model.encode_image(pictures), dim=-1)
    assert len(levels) == 4
    assert (recognised - expected[:, None]).abs().max() < 1e-5


@torch.no_grad()
def test_class_names_are_the_towers_own_text_embeddings_at_its_own_temperature(trained: Path) -> None:
    clip, model = load_clip(str(trained)), side_adapter(trained)
    text = model.text_encoder()
    assert isinstance(model.text_encoder, ClassText)
    assert text.shape == (4, 64)
    scale = clip.model.logit_scale.exp()
    assert torch.allclose(text.norm(dim=-1), scale.expand(4))
    assert torch.allclose(text[:3] / scale, class_embeddings(clip, CLASSES, "vild"), atol=1e-6)


def test_only_the_side_network_the_empty_class_and_the_position_embeddings_are_trained(trained: Path) -> None:
    learned = {name for name, each in side_adapter(trained).named_parameters() if each.requires_grad}
    others = {name for name in learned if not name.startswith("decode_head.side_adapter_network.")}
    assert others == {"image_encoder.pos_embed", "text_encoder.nothing"}


def test_initialising_leaves_the_tower_as_it_was_trained(trained: Path) -> None:
    model = side_adapter(trained)
    kept = {key: value.clone() for key, value in model.state_dict().items() if "side_adapter" not in key}
    model.init_weights()
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in kept.items())


@pytest.mark.parametrize(
    ("family", "sentence"),
    [("siglip", "SAN.*ViT"), ("openai-like", "SAN.*4.*3")],
)
def test_a_tower_that_san_cannot_take_is_one_sentence(
    tiny_towers: dict[str, Path], family: str, sentence: str
) -> None:
    with pytest.raises(Mismatch, match=sentence):
        side_adapter(tiny_towers[family])


@pytest.mark.parametrize("family", ["openai-like", "siglip"])
@torch.no_grad()
def test_class_embeddings_are_the_mean_over_the_templates_normalised_twice(
    tiny_towers: dict[str, Path], family: str
) -> None:
    clip = load_clip(str(tiny_towers[family]))
    prompts = get_predefined_templates("vild")
    assert len(prompts) == 14
    means = [
        normalize(clip.encode_text([each.format(name) for each in prompts]), dim=-1).mean(0) for name in CLASSES
    ]
    ours = class_embeddings(clip, CLASSES, "vild")
    assert torch.allclose(ours, normalize(torch.stack(means), dim=-1), atol=1e-6)


@pytest.mark.parametrize("family", ["openai-like", "siglip"])
@torch.no_grad()
def test_a_patch_takes_the_class_whose_name_is_nearest_in_the_joint_space(
    tiny_towers: dict[str, Path], family: str
) -> None:
    folder = tiny_towers[family]
    clip = load_clip(str(folder))
    pictures = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    backbone = MODELS.build({"type": "DivaTower", "tower": str(folder), "joint": True})
    head = MODELS.build({"type": "NearestClassName", "tower": str(folder), "classes": CLASSES})
    assert isinstance(head, NearestClassName)
    assert not list(head.parameters())
    logits = head(backbone(pictures))
    tokens = normalize(clip.tower(pictures).patches, dim=-1)
    expected = tokens @ class_embeddings(clip, CLASSES, "imagenet").T
    assert (logits.flatten(2).transpose(1, 2) - expected).abs().max() < 1e-5


def test_a_tower_without_text_cannot_name_classes(trained: Path, tmp_path: Path) -> None:
    state = load_file(trained / "open_clip_model.safetensors")
    save_file({k: v for k, v in state.items() if k.startswith("visual.")}, tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_bytes((trained / "open_clip_config.json").read_bytes())
    with pytest.raises(Mismatch, match="a text tower is needed here"):
        MODELS.build({"type": "NearestClassName", "tower": str(tmp_path), "classes": CLASSES})
