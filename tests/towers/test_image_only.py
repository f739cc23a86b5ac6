"""Image towers that no text tower was trained with: timm's files, and transformers' DINOv2 and DINOv3."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import transformers

from diva.errors import Damaged, InputError, Invalid, Mismatch, Unknown, Unsafe, Unsupported
from diva.exporting.command import export
from diva.towers import load_clip
from diva.towers.inspect import inspect_tower
from tests.fixtures.image_only import MODELS, write_timm


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_a_model_of_timm_s_gives_its_own_tokens(tmp_path: Path, name: str) -> None:
    model = write_timm(tmp_path / "model", name)
    clip = load_clip(str(tmp_path / "model"))
    pixels = torch.randn(2, 3, *clip.input.size)
    tokens, features = clip.tower(pixels), model.forward_features(pixels)
    torch.testing.assert_close(tokens.pooled, model(pixels))
    if name == "convnext_atto":
        assert (clip.tower.patches, clip.tower.width) == (0, 320)
    else:
        assert clip.tower.grid == (4, 4)
        torch.testing.assert_close(tokens.patches, features[:, model.num_prefix_tokens :])
    known = timm.data.resolve_data_config(model=model)
    assert (clip.input.mean, clip.input.std) == (tuple(known["mean"]), tuple(known["std"]))
    assert torch.equal(load_clip(str(tmp_path / "model" / "model.safetensors")).tower(pixels).pooled, tokens.pooled)
    with pytest.raises(Mismatch, match="model:"):
        clip.encode_text(["a photo"])


def test_a_model_of_timm_s_takes_no_name_of_another(tmp_path: Path) -> None:
    write_timm(tmp_path, "vit_tiny_patch16_224")
    for path in (tmp_path, tmp_path / "model.safetensors"):
        with pytest.raises(Unsupported, match="vit_tiny_patch16_224") as caught:
            load_clip("openai-vit-l14-224", path)
        assert str(path) in str(caught.value)


def hub_model(kind: str) -> transformers.PreTrainedModel:
    shape = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3}
    shape |= {"image_size": 64, "patch_size": 16}
    torch.manual_seed(0)
    model: transformers.PreTrainedModel
    if kind.startswith("dinov2"):
        gated = {"use_swiglu_ffn": kind == "dinov2 gated"}
        model = transformers.Dinov2Model(transformers.Dinov2Config(**shape, **gated, mlp_ratio=3))
    else:
        config = transformers.DINOv3ViTConfig(**shape, intermediate_size=96, num_register_tokens=4)
        model = transformers.DINOv3ViTModel(config)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


@pytest.mark.parametrize(("kind", "prefix"), [("dinov2", 1), ("dinov2 gated", 1), ("dinov3_vit", 5)])
@torch.no_grad()
def test_transformers_dino_gives_its_own_tokens_here_and_as_a_file_of_timm_s(
    tmp_path: Path, kind: str, prefix: int
) -> None:
    model, pixels = hub_model(kind), torch.randn(2, 3, 64, 64)
    model.save_pretrained(tmp_path / "theirs")
    output, clip = model(pixels), load_clip(str(tmp_path / "theirs"))
    tokens = clip.tower(pixels)
    torch.testing.assert_close(tokens.pooled, output.pooler_output, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tokens.patches, output.last_hidden_state[:, prefix:], atol=1e-5, rtol=1e-5)
    export(tmp_path / "theirs", tmp_path / "out", to="timm")
    timms = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    assert torch.equal(timms(pixels), tokens.pooled)
    assert torch.equal(load_clip(str(tmp_path / "out")).tower(pixels).patches, tokens.patches)
    with pytest.raises(Mismatch, match="--to"):
        export(tmp_path / "theirs", tmp_path / "no", to="open_clip")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("vit_small_patch14_dinov2", "Dinov2Model"), ("gated", "Dinov2Model"), ("dinov3", "DINOv3ViTModel")],
)
@torch.no_grad()
def test_a_dino_of_timm_s_is_exported_as_transformers_own(tmp_path: Path, name: str, kind: str) -> None:
    model = write_timm(tmp_path / "model", name)
    clip = load_clip(str(tmp_path / "model"))
    pixels = torch.randn(2, 3, *clip.input.size)
    export(tmp_path / "model", tmp_path / "out", to="llava")
    theirs = transformers.AutoModel.from_pretrained(tmp_path / "out").eval()
    assert type(theirs).__name__ == kind
    hidden = theirs(pixels).last_hidden_state
    torch.testing.assert_close(hidden, model.forward_features(pixels), atol=1e-5, rtol=1e-5)
    back = load_clip(str(tmp_path / "out"))
    assert torch.equal(back.tower(pixels).patches, clip.tower(pixels).patches)
    if kind == "Dinov2Model":
        export(tmp_path / "model", tmp_path / "whole", to="transformers")
        assert torch.equal(load_clip(str(tmp_path / "whole")).tower(pixels).pooled, clip.tower(pixels).pooled)
    else:
        with pytest.raises(InputError, match=r"its pooled token is 'avg' of its patches, and .* use --to timm"):
            export(tmp_path / "model", tmp_path / "whole", to="transformers")


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_base_patch14_reg4_dinov2", "convnext_atto"])
def test_a_model_that_transformers_computes_otherwise_is_refused(tmp_path: Path, name: str) -> None:
    write_timm(tmp_path / "model", name)
    with pytest.raises(InputError, match="transformers has no model of this kind of image tower; use --to timm"):
        export(tmp_path / "model", tmp_path / "no", to="llava")


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        (
            {"architecture": "vit_of_nobody"},
            pytest.raises(Unknown, match=r"config.json: architecture: .*'vit_of_nobody'"),
        ),
        (
            {"architecture": "hf-hub:someone/vit"},
            pytest.raises(Unknown, match=r"architecture: .*'hf-hub:someone/vit'"),
        ),
        (
            {"model_args": {"pretrained_cfg_overlay": {}}},
            pytest.raises(Unsafe, match=r"model_args.pretrained_cfg_overlay:"),
        ),
        ({"pretrained_cfg": {"input_size": None}}, pytest.raises(Invalid, match=r"pretrained_cfg.input_size:")),
        ({"pretrained_cfg": {"input_size": 224}}, pytest.raises(Invalid, match=r"pretrained_cfg.input_size: 224")),
        (
            {"pretrained_cfg": {"input_size": [3, 224]}},
            pytest.raises(Invalid, match=r"pretrained_cfg.input_size: \[3.*224\]"),
        ),
        ({"pretrained_cfg": {"mean": None}}, pytest.raises(Invalid, match=r"pretrained_cfg.mean:")),
        ({"pretrained_cfg": {"mean": 0.5}}, pytest.raises(Invalid, match=r"pretrained_cfg.mean: 0.5")),
        ({"pretrained_cfg": {"std": [0.5, 0, 0.5]}}, pytest.raises(Invalid, match="std:")),
        ({"pretrained_cfg": {"crop_pct": "all"}}, pytest.raises(Invalid, match=r"pretrained_cfg.crop_pct: 'all'")),
        ({"pretrained_cfg": {"interpolation": None}}, pytest.raises(Invalid, match="interpolation: None")),
        ({"pretrained_cfg": [1]}, pytest.raises(Damaged, match="pretrained_cfg:")),
        ({"model_args": {"depth": 10**6}}, pytest.raises(Invalid, match=r"model_args.depth: 1000000")),
        ({"model_args": {**MODELS["vit_tiny_patch16_224"], "depth": 3}}, pytest.raises(Mismatch, match="keys 12")),
    ],
)
def test_what_timm_s_file_may_not_say_is_refused(
    tmp_path: Path, change: dict[str, Any], refused: pytest.RaisesExc[Exception]
) -> None:
    write_timm(tmp_path, "vit_tiny_patch16_224")
    fields = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(fields | change))
    with refused as caught:
        load_clip(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_dino_with_other_layers_is_refused_by_the_field_s_name(tmp_path: Path) -> None:
    hub_model("dinov2").save_pretrained(tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(fields | {"qkv_bias": False}))
    with pytest.raises(InputError, match="qkv_bias: False makes another model than timm's"):
        load_clip(str(tmp_path))


def test_a_dino_whose_image_processor_gives_another_size_is_warned_of(tmp_path: Path) -> None:
    hub_model("dinov2").save_pretrained(tmp_path)
    processor = tmp_path / "preprocessor_config.json"
    published = {"do_center_crop": True, "size": {"shortest_edge": 48}}  # as DINOv2's are, but for the numbers
    processor.write_text(json.dumps(published | {"crop_size": {"height": 32, "width": 32}}))
    assert inspect_tower(tmp_path).warnings == (
        "reads 64 × 64 pixels as config.json says, and its image processor gives {'height': 32, 'width': 32}",
    )
    assert load_clip(str(tmp_path)).input.size == (64, 64)
    processor.write_text(json.dumps(published | {"crop_size": {"height": 64, "width": 64}}))
    assert not inspect_tower(tmp_path).warnings
    processor.write_text(json.dumps({"do_center_crop": None, "size": {"height": 64, "width": 64}}))
    assert not inspect_tower(tmp_path).warnings


@pytest.mark.usefixtures("tiny_names")
@torch.no_grad()
def test_siglip_2_naflex_gives_its_own_tokens_of_a_square(tmp_path: Path) -> None:
    shape = {"hidden_size": 48, "num_attention_heads": 3, "intermediate_size": 168, "num_hidden_layers": 3}
    torch.manual_seed(0)
    config = transformers.Siglip2VisionConfig(**shape, patch_size=8, num_patches=16)
    model = transformers.Siglip2VisionModel(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(tmp_path)
    clip, pixels = load_clip(str(tmp_path)), torch.randn(2, 3, 32, 32)
    patches = pixels.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 4, 5, 1).reshape(2, 16, -1)
    output = model(patches, torch.ones(2, 16, dtype=torch.long), torch.full((2, 2), 4))
    tokens = clip.tower(pixels)
    torch.testing.assert_close(tokens.pooled, output.pooler_output, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tokens.patches, output.last_hidden_state, atol=1e-5, rtol=1e-5)
    assert clip.input.mean == (0.5, 0.5, 0.5)
    assert clip.input.resize_mode == "squash"
