"""transformers' DINOv2 and DINOv3 and the models of timm's that compute the same."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from timm.layers import GluMlp
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from transformers import Dinov2Config, Dinov2Model, DINOv3ViTConfig, DINOv3ViTModel, PreTrainedModel

from diva.towers.formats.bijection import Bijection, Rule, affine, same, split
from diva.towers.recognise import count_blocks
from diva.towers.trunk import Trunk, build_visual

CONFIGS: dict[str, Any] = {"dinov2": Dinov2Config, "dinov3_vit": DINOv3ViTConfig}
# the same layers under their names of transformers 4, on the hub, and of 5
RENAMED = (
    (r"^(model|encoder)\.(?=layer\.)", ""),
    (r"attention\.attention\.(query|key|value)\.", lambda found: f"attention.{found[1][0]}_proj."),
    (r"attention\.output\.dense\.", "attention.o_proj."),
    (r"mlp\.weights_out\.", "mlp.down_proj."),
)
GATED = "mlp.weights_in."  # gate and rest in one
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
        gated = config.use_swiglu_ffn
        return Trunk(
            architecture="vit_giant_patch14_dinov2" if gated else "vit_base_patch14_dinov2",
            arguments={**sizes, "mlp_ratio": _gated_ratio(config) if gated else config.mlp_ratio},
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
        wanted |= {"qkv_bias": True, "layer_norm_eps": 1e-6}
    else:
        wanted |= {"use_gated_mlp": False, "query_bias": True, "key_bias": False, "value_bias": True}
        wanted |= {"proj_bias": True, "mlp_bias": True, "layer_norm_eps": 1e-5, "rope_theta": 100.0}
    return next((name for name, value in wanted.items() if getattr(config, name, value) != value), None)


def to_timm(state: Mapping[str, Tensor], config: Any, what: str) -> dict[str, Tensor]:
    """Return transformers' tensors of `config` in timm's keys.

    Raises:
        InputError: keys are missing or unexpected; the sentence starts with `what`.
    """
    theirs = {key: value for key, value in renamed(state).items() if key != UNUSED}
    return _keys(config, count_blocks(theirs, "layer.")).to_ours(theirs, what)


def counterpart(module: nn.Module) -> Any | None:
    """Return transformers' configuration of timm's `module`, as `build_visual` builds it; None where it has none.

    It is built anew from that configuration, without numbers, and must then have the same parts and tensors.
    """
    if not isinstance(module, VisionTransformer | Eva):
        return None
    try:
        config = _config(module)
    except AttributeError:  # blocks of another kind
        return None
    with torch.device("meta"):
        anew = build_visual(trunk_of(config)).trunk
    return config if str(anew) == str(module) and _shapes(anew) == _shapes(module) else None


def to_transformers(module: nn.Module, config: Any, what: str) -> PreTrainedModel:
    """Return transformers' model of `config`, the `counterpart` of `module`, on its way to a folder."""
    keys = _keys(config, config.num_hidden_layers)
    theirs = keys.to_theirs({key: value.detach().cpu() for key, value in module.state_dict().items()}, what)
    theirs[UNUSED] = torch.zeros(1, 1, config.hidden_size)
    with torch.device("meta"):
        model = Dinov2Model(config) if isinstance(config, Dinov2Config) else DINOv3ViTModel(config)
    model.load_state_dict({key: theirs[plain_name(key)] for key in model.state_dict()}, assign=True)
    return model.eval()


def _config(module: Any) -> Any:
    mlp = module.blocks[0].mlp
    sizes = {
        "image_size": module.patch_embed.img_size[0],
        "patch_size": module.patch_embed.patch_size[0],
        "hidden_size": module.embed_dim,
        "num_hidden_layers": len(module.blocks),
        "num_attention_heads": module.blocks[0].attn.num_heads,
    }
    inner = mlp.fc2.in_features
    if isinstance(module, Eva):
        registers = module.num_prefix_tokens - 1
        return DINOv3ViTConfig(**sizes, intermediate_size=inner, num_register_tokens=registers)
    gated = isinstance(mlp, GluMlp)
    ratio = round(inner * (1.5 if gated else 1) / module.embed_dim)
    return Dinov2Config(**sizes, mlp_ratio=ratio, use_swiglu_ffn=gated, use_mask_token=False)


def _gated_ratio(config: Dinov2Config) -> float:
    """Return timm's ratio of a gated layer's two halves, whose widths transformers rounds up to multiples of 8."""
    inner = (int(int(config.hidden_size * config.mlp_ratio) * 2 / 3) + 7) // 8 * 8
    return 2 * inner / config.hidden_size


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in module.state_dict().items()}


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a DINO's tensors under one set of names, whatever transformers wrote them or holds them in memory."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        name = plain_name(key)
        if GATED in name:
            gates = [name.replace(GATED, f"mlp.{part}_proj.") for part in ("gate", "up")]
            found |= zip(gates, value.chunk(2), strict=True)
        else:
            found[name] = value
    return found


def plain_name(key: str) -> str:
    """Return the name of `renamed` for that of a tensor in memory."""
    for pattern, name in RENAMED:
        key = re.sub(pattern, name, key)
    return key


def _keys(config: Any, depth: int) -> Bijection:
    if isinstance(config, Dinov2Config):
        return Bijection(_dinov2(depth, gated=config.use_swiglu_ffn))
    return Bijection(_dinov3(depth))


def _dinov2(depth: int, *, gated: bool) -> list[Rule]:
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
            *_block(ours, theirs, ("ls1.gamma", "ls2.gamma")),
            *(_gated_layers if gated else _layers)(f"{ours}.mlp", f"{theirs}.mlp"),
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
            *_block(ours, theirs, ("gamma_1", "gamma_2")),
            *affine(f"{ours}.mlp.fc1", f"{theirs}.mlp.up_proj"),
            *affine(f"{ours}.mlp.fc2", f"{theirs}.mlp.down_proj"),
        ]
    return rules


def _split(ours: str, layer: str, part: str) -> Rule:
    return split(ours, [f"{layer}.attention.{name}_proj.{part}" for name in "qkv"])


def _block(ours: str, theirs: str, scales: tuple[str, str]) -> list[Rule]:
    return [
        *affine(f"{ours}.norm1", f"{theirs}.norm1"),
        *affine(f"{ours}.attn.proj", f"{theirs}.attention.o_proj"),
        same(f"{ours}.{scales[0]}", f"{theirs}.layer_scale1.lambda1"),
        *affine(f"{ours}.norm2", f"{theirs}.norm2"),
        same(f"{ours}.{scales[1]}", f"{theirs}.layer_scale2.lambda1"),
    ]


def _layers(ours: str, theirs: str) -> list[Rule]:
    return [rule for layer in ("fc1", "fc2") for rule in affine(f"{ours}.{layer}", f"{theirs}.{layer}")]


def _gated_layers(ours: str, theirs: str) -> list[Rule]:
    halves = [
        split(f"{ours}.fc1.{part}", [f"{theirs}.{name}_proj.{part}" for name in ("gate", "up")])
        for part in ("weight", "bias")
    ]
    return [*halves, *affine(f"{ours}.fc2", f"{theirs}.down_proj")]
