"""transformers' DINOv2 and DINOv3 as the models of timm's that compute the same."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from transformers import Dinov2Config, DINOv3ViTConfig

from diva.towers.formats.bijection import Bijection, Rule, affine, same, split
from diva.towers.recognise import count_blocks
from diva.towers.trunk import Trunk

CONFIGS: dict[str, Any] = {"dinov2": Dinov2Config, "dinov3_vit": DINOv3ViTConfig}
# the same layers under their names of transformers 4, on the hub, and of 5
RENAMED = (
    (r"^(model|encoder)\.(?=layer\.)", ""),
    (r"attention\.attention\.(query|key|value)\.", lambda found: f"attention.{found[1][0]}_proj."),
    (r"attention\.output\.dense\.", "attention.o_proj."),
)
UNUSED = "embeddings.mask_token"  # of pre-training


def trunk_of(config: Any) -> Trunk:
    """Return the model of timm's of a `Dinov2Config` or `DINOv3ViTConfig`."""
    sizes = {
        "img_size": config.image_size,
        "patch_size": config.patch_size,
        "embed_dim": config.hidden_size,
        "depth": config.num_hidden_layers,
        "num_heads": config.num_attention_heads,
    }
    if isinstance(config, Dinov2Config):
        return Trunk(
            architecture="vit_base_patch14_dinov2",
            arguments={**sizes, "mlp_ratio": config.mlp_ratio},
            pool="token",
        )
    ratio = config.intermediate_size / config.hidden_size
    return Trunk(
        architecture="vit_base_patch16_dinov3_qkvb",
        arguments={**sizes, "mlp_ratio": ratio, "num_reg_tokens": config.num_register_tokens},
        pool="token",
    )


def unlike(config: Any) -> str | None:
    """Return the field by which a configuration is another model than those of `trunk_of`, or None."""
    wanted: dict[str, Any] = {"hidden_act": "gelu", "num_channels": 3}
    if isinstance(config, Dinov2Config):
        wanted |= {"use_swiglu_ffn": False, "qkv_bias": True, "layer_norm_eps": 1e-6}
    else:
        wanted |= {"use_gated_mlp": False, "query_bias": True, "key_bias": False, "value_bias": True}
        wanted |= {"proj_bias": True, "mlp_bias": True, "layer_norm_eps": 1e-5, "rope_theta": 100.0}
    return next((name for name, value in wanted.items() if getattr(config, name, value) != value), None)


def to_timm(state: Mapping[str, Tensor], config: Any, what: str) -> dict[str, Tensor]:
    """Return transformers' tensors of `config` in timm's keys.

    Raises:
        InputError: keys are missing or unexpected; the sentence starts with `what`.
    """
    theirs = {}
    for key, value in state.items():
        for pattern, name in RENAMED:
            key = re.sub(pattern, name, key)
        if key != UNUSED:
            theirs[key] = value
    depth = count_blocks(theirs, "layer.")
    return Bijection(_dinov2(depth) if isinstance(config, Dinov2Config) else _dinov3(depth)).to_ours(theirs, what)


def _dinov2(depth: int) -> list[Rule]:
    rules = [
        same("cls_token", "embeddings.cls_token"),
        same("pos_embed", "embeddings.position_embeddings"),
        *affine("patch_embed.proj", "embeddings.patch_embeddings.projection"),
        *affine("norm", "layernorm"),
    ]
    for number in range(depth):
        ours, theirs = f"blocks.{number}", f"layer.{number}"
        rules += [
            *(_split(f"{ours}.attn.qkv.{part}", theirs, part) for part in ("weight", "bias")),
            *_block(ours, theirs, ("attention.o_proj", "mlp.fc1", "mlp.fc2"), ("ls1.gamma", "ls2.gamma")),
        ]
    return rules


def _dinov3(depth: int) -> list[Rule]:
    rules = [
        same("cls_token", "embeddings.cls_token"),
        same("reg_token", "embeddings.register_tokens"),
        *affine("patch_embed.proj", "embeddings.patch_embeddings"),
        *affine("norm", "norm"),
    ]
    for number in range(depth):
        ours, theirs = f"blocks.{number}", f"layer.{number}"
        rules += [
            _split(f"{ours}.attn.qkv.weight", theirs, "weight"),
            same(f"{ours}.attn.q_bias", f"{theirs}.attention.q_proj.bias"),
            same(f"{ours}.attn.v_bias", f"{theirs}.attention.v_proj.bias"),
            *_block(ours, theirs, ("attention.o_proj", "mlp.up_proj", "mlp.down_proj"), ("gamma_1", "gamma_2")),
        ]
    return rules


def _split(ours: str, layer: str, part: str) -> Rule:
    return split(ours, [f"{layer}.attention.{name}_proj.{part}" for name in "qkv"])


def _block(ours: str, theirs: str, layers: tuple[str, str, str], scales: tuple[str, str]) -> list[Rule]:
    out, up, down = layers
    return [
        *affine(f"{ours}.norm1", f"{theirs}.norm1"),
        *affine(f"{ours}.attn.proj", f"{theirs}.{out}"),
        same(f"{ours}.{scales[0]}", f"{theirs}.layer_scale1.lambda1"),
        *affine(f"{ours}.norm2", f"{theirs}.norm2"),
        *affine(f"{ours}.mlp.fc1", f"{theirs}.{up}"),
        *affine(f"{ours}.mlp.fc2", f"{theirs}.{down}"),
        same(f"{ours}.{scales[1]}", f"{theirs}.layer_scale2.lambda1"),
    ]
