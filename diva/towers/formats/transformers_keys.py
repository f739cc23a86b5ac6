"""Which tensor of open_clip's is which of transformers': CLIP's ViT, SigLIP's, and the text tower of both."""

from collections.abc import Mapping

from torch import Tensor

from diva.errors import Damaged
from diva.towers.formats.bijection import (
    Bijection,
    Rule,
    affine,
    first_axis_added,
    joined,
    same,
    scalar,
    split,
    transposed,
)
from diva.towers.recognise import count_blocks

QKV = ("q_proj", "k_proj", "v_proj")
VISION, TEXT = "vision_model", "text_model"
LAYERS = "encoder.layers."
PATCHES = f"{VISION}.embeddings.patch_embedding.weight"


def with_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of a vision model that is saved alone the prefix that they have elsewhere.

    Positions that are only counted are left out.
    """
    weights = {key: value for key, value in state.items() if not key.endswith("position_ids")}
    if "embeddings.patch_embedding.weight" in weights:
        return {f"{VISION}.{key}": value for key, value in weights.items()}
    return weights


def patches_as_pixels(weight: Tensor, patch: int, *, what: str) -> Tensor:
    """Return the linear layer [C, patch · patch · 3] over cut patches as the convolution [C, 3, patch, patch].

    Raises:
        InputError: it has another shape; the sentence starts with `what`.
    """
    if weight.ndim != 2 or weight.shape[1] != 3 * patch**2:
        raise Damaged(what, PATCHES, "has the shape of another tensor; fetch it again")
    return weight.unflatten(1, (patch, patch, 3)).permute(0, 3, 1, 2)


def clip_keys(state: Mapping[str, Tensor]) -> Bijection:
    """Return the map of a CLIP ViT whose parts are those of `state`, in the keys of either library."""
    ours = any(key.startswith("visual.") for key in state)
    text = "text." if "text.positional_embedding" in state else ""
    vision_layers = count_blocks(state, "visual.transformer.resblocks." if ours else f"{VISION}.{LAYERS}")
    text_layers = count_blocks(state, f"{text}transformer.resblocks." if ours else f"{TEXT}.{LAYERS}")
    rules = [
        same("visual.class_embedding", f"{VISION}.embeddings.class_embedding"),
        same("visual.positional_embedding", f"{VISION}.embeddings.position_embedding.weight"),
        same("visual.conv1.weight", f"{VISION}.embeddings.patch_embedding.weight"),
        *affine("visual.ln_pre", f"{VISION}.pre_layrnorm"),  # transformers' own spelling
        *_resblocks("visual.transformer", VISION, vision_layers),
        *affine("visual.ln_post", f"{VISION}.post_layernorm"),
    ]
    if "visual.proj" in state or "visual_projection.weight" in state:
        rules.append(transposed("visual.proj", "visual_projection.weight"))
    if text_layers:
        rules += _text(text, text_layers)
        rules.append(transposed(f"{text}text_projection", "text_projection.weight"))
        rules.append(same("logit_scale", "logit_scale"))
    return Bijection(rules)


def siglip_keys(state: Mapping[str, Tensor]) -> Bijection:
    """Return the map of a SigLIP tower whose parts are those of `state`, in the keys of either library."""
    ours = any(key.startswith("visual.") for key in state)
    vision_layers = count_blocks(state, "visual.trunk.blocks." if ours else f"{VISION}.{LAYERS}")
    text_layers = count_blocks(state, "text.transformer.resblocks." if ours else f"{TEXT}.{LAYERS}")
    trunk, pool, head = "visual.trunk", "visual.trunk.attn_pool", f"{VISION}.head"
    rules = [
        first_axis_added(f"{trunk}.pos_embed", f"{VISION}.embeddings.position_embedding.weight"),
        *affine(f"{trunk}.patch_embed.proj", f"{VISION}.embeddings.patch_embedding"),
        *affine(f"{trunk}.norm", f"{VISION}.post_layernorm"),
        same(f"{pool}.latent", f"{head}.probe"),
        *(
            joined((f"{pool}.q.{part}", f"{pool}.kv.{part}"), (1, 2), f"{head}.attention.in_proj_{part}")
            for part in ("weight", "bias")
        ),
        *affine(f"{pool}.proj", f"{head}.attention.out_proj"),
        *affine(f"{pool}.norm", f"{head}.layernorm"),
        *_mlp(f"{pool}.mlp", ("fc1", "fc2"), f"{head}.mlp"),
    ]
    for layer in range(vision_layers):
        block, theirs = f"{trunk}.blocks.{layer}", f"{VISION}.{LAYERS}{layer}"
        rules += [
            *affine(f"{block}.norm1", f"{theirs}.layer_norm1"),
            *_qkv(f"{block}.attn.qkv.", theirs),
            *affine(f"{block}.attn.proj", f"{theirs}.self_attn.out_proj"),
            *affine(f"{block}.norm2", f"{theirs}.layer_norm2"),
            *_mlp(f"{block}.mlp", ("fc1", "fc2"), f"{theirs}.mlp"),
        ]
    if text_layers:
        rules += _text("text.", text_layers)
        rules += affine("text.text_projection", f"{TEXT}.head")
        rules += [scalar("logit_scale", "logit_scale"), scalar("logit_bias", "logit_bias")]
    return Bijection(rules)


def _text(ours: str, layers: int) -> list[Rule]:
    return [
        same(f"{ours}token_embedding.weight", f"{TEXT}.embeddings.token_embedding.weight"),
        same(f"{ours}positional_embedding", f"{TEXT}.embeddings.position_embedding.weight"),
        *_resblocks(f"{ours}transformer", TEXT, layers),
        *affine(f"{ours}ln_final", f"{TEXT}.final_layer_norm"),
    ]


def _resblocks(ours: str, theirs: str, layers: int) -> list[Rule]:
    rules = []
    for layer in range(layers):
        block, other = f"{ours}.resblocks.{layer}", f"{theirs}.{LAYERS}{layer}"
        rules += [
            *affine(f"{block}.ln_1", f"{other}.layer_norm1"),
            *_qkv(f"{block}.attn.in_proj_", other),
            *affine(f"{block}.attn.out_proj", f"{other}.self_attn.out_proj"),
            *affine(f"{block}.ln_2", f"{other}.layer_norm2"),
            *_mlp(f"{block}.mlp", ("c_fc", "c_proj"), f"{other}.mlp"),
        ]
    return rules


def _qkv(ours: str, layer: str) -> list[Rule]:
    return [
        split(f"{ours}{part}", [f"{layer}.self_attn.{name}.{part}" for name in QKV]) for part in ("weight", "bias")
    ]


def _mlp(ours: str, names: tuple[str, str], theirs: str) -> list[Rule]:
    return [*affine(f"{ours}.{names[0]}", f"{theirs}.fc1"), *affine(f"{ours}.{names[1]}", f"{theirs}.fc2")]
