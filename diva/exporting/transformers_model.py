"""An open_clip tower as the transformers model that computes the same, on its way to a folder."""

from typing import Any

import torch
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer as OpenClipTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    CLIPVisionModelWithProjection,
    PreTrainedModel,
    SiglipConfig,
    SiglipModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from diva.errors import Invalid, Unsupported
from diva.towers import Clip
from diva.towers.activation import activation_of
from diva.towers.formats.transformers_folder import ACTIVATIONS
from diva.towers.formats.transformers_keys import VISION, clip_keys, siglip_keys
from diva.towers.formats.transformers_trunks import counterpart, to_transformers


def is_siglip(clip: Clip) -> bool:
    """Tell whether the tower is a timm ViT that only an attention pool follows."""
    visual = clip.model.visual
    if not isinstance(visual, TimmModel) or not isinstance(visual.trunk, VisionTransformer):
        return False
    trunk = visual.trunk
    return trunk.attn_pool is not None and isinstance(trunk.head, nn.Identity) and not trunk.num_prefix_tokens


def whole_model(clip: Clip) -> PreTrainedModel:
    """Return the `CLIPModel` or `SiglipModel` of `clip`; without a text tower, its vision model, if it can project.

    Raises:
        InputError: transformers has no model that computes what the towers compute.
    """
    if clip.trunk:
        if (pool := _trunk(clip).global_pool) != "token":
            raise Invalid(
                clip.source,
                f"its pooled token is '{pool}' of its patches, and transformers' model of its kind"
                " gives the class token; use --to timm, or --to llava",
            )
        return vision_model(clip)
    _require_counterpart(clip)
    if not clip.has_text:
        if is_siglip(clip) or not isinstance(clip.model.visual.proj, nn.Parameter):
            return vision_model(clip)
        return _filled(CLIPVisionModelWithProjection, _vision_config(clip), _their_state(clip))
    _require_text(clip)
    vision, text = _vision_fields(clip), _text_fields(clip)
    if is_siglip(clip):
        return _filled(SiglipModel, SiglipConfig(vision_config=vision, text_config=text), _their_state(clip))
    config = CLIPConfig(vision_config=vision, text_config=text, projection_dim=clip.tower.width)
    return _filled(CLIPModel, config, _their_state(clip))


def vision_model(clip: Clip) -> PreTrainedModel:
    """Return the vision model of `clip`, CLIP's, SigLIP's or a DINO's: what a LLaVA reads its patch tokens from.

    Raises:
        InputError: transformers has no model that computes what the tower computes.
    """
    if clip.trunk:
        trunk = _trunk(clip)
        if config := counterpart(trunk):
            return to_transformers(trunk, config, f"{clip.source}: for transformers")
    _require_counterpart(clip)
    state = {key: value for key, value in _their_state(clip, "visual.").items() if key.startswith(f"{VISION}.")}
    return _filled(SiglipVisionModel if is_siglip(clip) else CLIPVisionModel, _vision_config(clip), state)


def _trunk(clip: Clip) -> Any:
    visual: Any = clip.model.visual
    return visual.trunk


def _their_state(clip: Clip, part: str = "") -> dict[str, Tensor]:
    own = clip.model.state_dict().items()
    state = {key: value.detach().cpu() for key, value in own if key.startswith(part)}
    keys = siglip_keys(state) if is_siglip(clip) else clip_keys(state)
    return keys.to_theirs(state, f"{clip.source}: for transformers")


def _filled(kind: type[PreTrainedModel], config: Any, state: dict[str, Tensor]) -> PreTrainedModel:
    with torch.device("meta"):
        model = kind(config)
    if not any(key.startswith(f"{VISION}.") for key in model.state_dict()):
        state = {key.removeprefix(f"{VISION}."): value for key, value in state.items()}
    model.load_state_dict(state, assign=True)
    return model.eval()


def _vision_config(clip: Clip) -> CLIPVisionConfig | SiglipVisionConfig:
    return (SiglipVisionConfig if is_siglip(clip) else CLIPVisionConfig)(**_vision_fields(clip))


def _vision_fields(clip: Clip) -> dict[str, Any]:
    visual: Any = clip.model.visual
    fields = {
        "hidden_act": _hidden_act(clip, visual),
        "image_size": visual.image_size[0],
        "projection_dim": clip.tower.width,
    }
    if is_siglip(clip):
        trunk, block = visual.trunk, visual.trunk.blocks[0]
        return fields | {
            "patch_size": trunk.patch_embed.patch_size[0],
            "hidden_size": trunk.num_features,
            "intermediate_size": block.mlp.fc1.out_features,
            "num_hidden_layers": len(trunk.blocks),
            "num_attention_heads": block.attn.num_heads,
            "layer_norm_eps": trunk.norm.eps,
        }
    return fields | _transformer_fields(visual.transformer) | {"patch_size": visual.patch_size[0]}


def _text_fields(clip: Clip) -> dict[str, Any]:
    text: Any = getattr(clip.model, "text", clip.model)
    vocabulary = text.token_embedding.num_embeddings
    fields = {
        "hidden_act": _hidden_act(clip, text.transformer),
        "vocab_size": vocabulary,
        "max_position_embeddings": len(text.positional_embedding),
        **_transformer_fields(text.transformer),
    }
    if is_siglip(clip):  # T5's numbers; pooling takes the last position, whatever is there
        return fields | {"pad_token_id": 1, "eos_token_id": 1, "bos_token_id": None}
    # open_clip pools where the highest token is, which is the end of the text
    ends = {"bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1, "pad_token_id": vocabulary - 1}
    return fields | ends | {"projection_dim": clip.tower.width}


def _transformer_fields(transformer: Any) -> dict[str, Any]:
    block = transformer.resblocks[0]
    return {
        "hidden_size": transformer.width,
        "intermediate_size": block.mlp.c_fc.out_features,
        "num_hidden_layers": len(transformer.resblocks),
        "num_attention_heads": block.attn.num_heads,
        "layer_norm_eps": block.ln_1.eps,
    }


def _hidden_act(clip: Clip, part: nn.Module) -> str:
    names = {ours: theirs for theirs, ours in ACTIVATIONS.items()}
    activation = activation_of(part)
    if activation not in names:
        raise Unsupported(clip.source, f"transformers has no model with {activation} in one tower; use open_clip's")
    return names[activation]


def _require_counterpart(clip: Clip) -> None:
    """Check that the image tower is a SigLIP, or a ViT with a class token as OpenAI's."""
    visual: Any = clip.model.visual
    plain = isinstance(visual, OpenClipTransformer) and visual.attn_pool is None and visual.pool_type == "tok"
    same = is_siglip(clip) or (plain and isinstance(visual.transformer.resblocks[0].ls_1, nn.Identity))
    if not same or len({*clip.input.size}) > 1:
        remedy = "use --to timm" if clip.trunk else "give the whole model, with its text tower"
        raise Unsupported(
            clip.source,
            "transformers has no model of this kind of image tower;"
            f" {'use --to open_clip' if clip.has_text else remedy}",
        )


def _require_text(clip: Clip) -> None:
    """Check that transformers' text tower of the family pools and masks as this one does."""
    model: Any = clip.model
    text = getattr(model, "text", model)
    pooling = getattr(text, "pool_type", None) or model.text_pool_type
    expected, causal = ("last", False) if is_siglip(clip) else ("argmax", True)
    if pooling != expected or (text.attn_mask is not None) != causal:
        raise Unsupported(
            clip.source,
            f"transformers has no model with this text tower (it pools '{pooling}'); --to llava needs none",
        )
