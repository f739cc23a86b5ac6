"""Which open_clip architecture a state dict holds, told from the shapes of its tensors alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import open_clip
import timm
import torch
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from torch import Tensor

from diva.compat import image_text_models

# a field of these changes what a ViT computes, so an architecture that sets it is not a plain CLIP
UNUSUAL = ("attentional_pool", "no_ln_pre", "ls_init_value", "final_ln_after_pool", "pos_embed_type", "pool_type")


@dataclass(frozen=True)
class ImageShape:
    """What distinguishes the image towers.

    Attributes:
        width: of the trunk; mlp: hidden width of its blocks' MLPs; layers: number of blocks;
        patch: patch side in pixels; grid: patches a side; attention_pooling: SigLIP's kind of trunk.
    """

    width: int
    mlp: int
    layers: int
    patch: int
    grid: int
    attention_pooling: bool


@dataclass(frozen=True)
class TextShape:
    """What distinguishes the text towers: embed_dim is the width of the joint space."""

    embed_dim: int
    width: int
    layers: int
    context: int
    vocabulary: int


def recognise(state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return the names of open_clip's architectures that `state`, in open_clip's keys, fits; may be empty.

    The activation leaves no trace in the weights, so `ViT-L-14` and `ViT-L-14-quickgelu` are both named.
    """
    image, text = image_shape(state), _text_shape(state)
    if image is None:
        return ()
    configs = image_text_models().items()
    plain = ((name, config) for name, config in configs if _is_plain(config) and text in (None, _text_of(config)))
    return tuple(name for name, config in plain if _may_be(config, image) and image_shape_of(config) == image)


def architecture_name(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> str:
    """Return open_clip's name for exactly the architecture `config`, or a description where it has none.

    Args:
        config: open_clip's configuration; an empty `text_cfg` stands for an image tower alone.
        state: the weights, in open_clip's keys.
    """
    own = _comparable(config, text=bool(config["text_cfg"]))
    for name in recognise(state):
        if _comparable(open_clip.get_model_config(name), text=bool(config["text_cfg"])) == own:
            return name
    shape = image_shape(state)
    return f"ViT of {shape.layers} × {shape.width}, patches of {shape.patch} px" if shape else "unknown"


def image_shape(state: Mapping[str, Tensor]) -> ImageShape | None:
    """Return the shape of the image tower in `state`, or None where there is no ViT tower."""
    if _dimensions(state, **{"visual.conv1.weight": 4, "visual.positional_embedding": 2}):
        blocks, first, pooling = "visual.transformer.resblocks.", "mlp.c_fc.weight", False
        patch, positions = state["visual.conv1.weight"], len(state["visual.positional_embedding"]) - 1
    elif "visual.trunk.attn_pool.latent" in state and _dimensions(
        state, **{"visual.trunk.patch_embed.proj.weight": 4, "visual.trunk.pos_embed": 3}
    ):
        blocks, first, pooling = "visual.trunk.blocks.", "mlp.fc1.weight", True
        patch, positions = state["visual.trunk.patch_embed.proj.weight"], state["visual.trunk.pos_embed"].shape[1]
    else:
        return None
    layers, mlp = count_blocks(state, blocks), state.get(f"{blocks}0.{first}", patch)
    if positions < 0 or not mlp.ndim:
        return None
    return ImageShape(patch.shape[0], mlp.shape[0], layers, patch.shape[-1], math.isqrt(positions), pooling)


def image_shape_of(config: Mapping[str, Any]) -> ImageShape:
    """Return the shape of the image tower that open_clip's `config` describes."""
    vision = CLIPVisionCfg(**config["vision_cfg"])
    if vision.timm_model_name:
        return _trunk_shape(vision.timm_model_name)
    patch, grid = vision.patch_size, vision.image_size // vision.patch_size
    return ImageShape(vision.width, int(vision.width * vision.mlp_ratio), vision.layers, patch, grid, False)


def _dimensions(state: Mapping[str, Tensor], **dimensions: int) -> bool:
    """Tell whether each of these tensors is there and has so many dimensions."""
    return all(name in state and state[name].ndim == count for name, count in dimensions.items())


def count_blocks(state: Mapping[str, Tensor], prefix: str) -> int:
    """Return how many numbered blocks `state` has under `prefix`."""
    return len({key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)})


@cache
def _trunk_shape(name: str) -> ImageShape:
    with torch.device("meta"):
        trunk = timm.create_model(name, num_classes=0, global_pool="map")
    shape = image_shape({f"visual.trunk.{key}": value for key, value in trunk.state_dict().items()})
    assert shape is not None  # a trunk with attention pooling
    return shape


def _comparable(config: Mapping[str, Any], *, text: bool) -> tuple[Any, ...]:
    image = (bool(config.get("quick_gelu")), CLIPVisionCfg(**config["vision_cfg"]))
    return (*image, config["embed_dim"], CLIPTextCfg(**config["text_cfg"])) if text else image


def _is_plain(config: Mapping[str, Any]) -> bool:
    vision, text = config["vision_cfg"], config["text_cfg"]
    if "multimodal_cfg" in config or "hf_model_name" in text or isinstance(vision.get("layers"), list):
        return False  # captioners, text towers that would be fetched from the hub, ResNets
    return vision.get("timm_pool") == "map" if "timm_model_name" in vision else not set(UNUSUAL) & vision.keys()


def _may_be(config: Mapping[str, Any], image: ImageShape) -> bool:
    # told without building anything; a grid may be rounded down (384 px in patches of 14)
    vision = config["vision_cfg"]
    side = vision.get("image_size", CLIPVisionCfg.image_size)
    return ("timm_model_name" in vision) == image.attention_pooling and side // image.patch == image.grid


def _text_shape(state: Mapping[str, Tensor]) -> TextShape | None:
    text = {key.removeprefix("text."): value for key, value in state.items() if not key.startswith("visual.")}
    if not _dimensions(text, **{"token_embedding.weight": 2, "positional_embedding": 2}):
        return None
    vocabulary, width = text["token_embedding.weight"].shape
    if _dimensions(text, **{"text_projection.weight": 2}):
        embed_dim = text["text_projection.weight"].shape[0]
    else:
        embed_dim = text["text_projection"].shape[1] if _dimensions(text, text_projection=2) else width
    layers, context = count_blocks(text, "transformer.resblocks."), len(text["positional_embedding"])
    return TextShape(embed_dim, width, layers, context, vocabulary)


def _text_of(config: Mapping[str, Any]) -> TextShape:
    text = CLIPTextCfg(**config["text_cfg"])
    return TextShape(config["embed_dim"], text.width, text.layers, text.context_length, text.vocab_size)
