"""Which open_clip architecture a state dict holds, told from the shapes of its tensors alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import timm
import torch
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from torch import Tensor

from diva.compat import image_text_models

# what these fields change leaves no trace in the weights, or belongs to a captioner
UNSEEN = ("attentional_pool", "pos_embed_type")
# where the projection to the joint space lies, inside a trunk or behind it
PROJECTIONS = ("trunk.head.weight", "trunk.head.fc.weight", "head.proj.weight", "head.mlp.fc2.weight")
COUNTS = "num_batches_tracked"  # of batch norms; some programs leave them out


@dataclass(frozen=True, kw_only=True)
class ImageShape:
    """What distinguishes open_clip's own ViTs.

    Attributes:
        width: of the blocks; mlp: hidden width of their MLPs; layers: number of blocks;
        patch: patch side in pixels; grid: patches a side;
        first_norm: whether a norm comes before the blocks; scaled: whether each block's output is.
    """

    width: int
    mlp: int
    layers: int
    patch: int
    grid: int
    first_norm: bool
    scaled: bool


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
    text = _text_shape(state)
    described = ((name, config) for name, config in image_text_models().items() if _is_described(config))
    likely = ((name, config) for name, config in described if text in (None, _text_of(config)))
    if image := image_shape(state):
        return tuple(name for name, config in likely if image_shape_of(config) == image)
    if not any(key.startswith(("visual.trunk.", "visual.attnpool.")) for key in state):
        return ()
    shapes = _shapes(state)
    return tuple(name for name, config in likely if _may_be(config, state) and _shapes_of(config) == shapes)


def architecture_name(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> str:
    """Return open_clip's name for exactly the architecture `config`, or a description where it has none.

    Args:
        config: open_clip's configuration; an empty `text_cfg` stands for an image tower alone.
        state: the weights, in open_clip's keys.
    """
    text = bool(config["text_cfg"])
    own = _comparable(config, text=text)
    for name, known in image_text_models().items():
        if _is_described(known) and _comparable(known, text=text) == own:
            return name
    shape = image_shape(state)
    if shape:
        return f"ViT of {shape.layers} × {shape.width}, patches of {shape.patch} px"
    return str(config["vision_cfg"].get("timm_model_name") or "ResNet")


def image_shape(state: Mapping[str, Tensor]) -> ImageShape | None:
    """Return the shape of the image tower in `state`, or None where there is no ViT of open_clip's own."""
    if not _dimensions(state, **{"visual.conv1.weight": 4, "visual.positional_embedding": 2}):
        return None
    patch, positions = state["visual.conv1.weight"], len(state["visual.positional_embedding"]) - 1
    blocks = "visual.transformer.resblocks."
    mlp = state.get(f"{blocks}0.mlp.c_fc.weight", patch)
    if positions < 0 or not mlp.ndim:
        return None
    return ImageShape(
        width=patch.shape[0],
        mlp=mlp.shape[0],
        layers=count_blocks(state, blocks),
        patch=patch.shape[-1],
        grid=math.isqrt(positions),
        first_norm="visual.ln_pre.weight" in state,
        scaled=f"{blocks}0.ls_1.gamma" in state,
    )


def image_shape_of(config: Mapping[str, Any]) -> ImageShape | None:
    """Return the shape of the image tower that open_clip's `config` describes, or None as for `image_shape`."""
    vision = CLIPVisionCfg(**config["vision_cfg"])
    if vision.timm_model_name or not isinstance(vision.layers, int):
        return None
    return ImageShape(
        width=vision.width,
        mlp=int(vision.width * vision.mlp_ratio),
        layers=vision.layers,
        patch=vision.patch_size,
        grid=vision.image_size // vision.patch_size,  # rounded down: 384 px in patches of 14
        first_norm=not vision.no_ln_pre,
        scaled=vision.ls_init_value is not None,
    )


def _dimensions(state: Mapping[str, Tensor], **dimensions: int) -> bool:
    """Tell whether each of these tensors is there and has so many dimensions."""
    return all(name in state and state[name].ndim == count for name, count in dimensions.items())


def count_blocks(state: Mapping[str, Tensor], prefix: str) -> int:
    """Return how many numbered blocks `state` has under `prefix`."""
    return len({key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)})


def _shapes_of(config: Mapping[str, Any]) -> dict[str, torch.Size]:
    """Return the shapes of the image tower of `config`, a ResNet or a trunk of timm's."""
    vision, width = CLIPVisionCfg(**config["vision_cfg"]), config["embed_dim"]
    if vision.timm_model_name:
        after = vision.timm_pool, vision.timm_proj, vision.timm_proj_bias
        return _trunk_shapes(vision.timm_model_name, width, *after)
    heads = vision.width * 32 // vision.head_width
    with torch.device("meta"):
        visual = ModifiedResNet(vision.layers, width, heads, image_size=vision.image_size, width=vision.width)
    return _shapes({f"visual.{key}": value for key, value in visual.state_dict().items()})


@cache
def _trunk_shapes(name: str, width: int, pool: str, proj: str | None, bias: bool) -> dict[str, torch.Size]:
    with torch.device("meta"):
        visual = TimmModel(name, width, pool=pool, proj=proj, proj_bias=bias)
    return _shapes({f"visual.{key}": value for key, value in visual.state_dict().items()})


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {
        key: value.shape for key, value in state.items() if key.startswith("visual.") and not key.endswith(COUNTS)
    }


def _may_be(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> bool:
    # told without building anything
    vision = config["vision_cfg"]
    trunk = any(key.startswith("visual.trunk.") for key in state)
    if not ("timm_model_name" in vision if trunk else isinstance(vision.get("layers"), list)):
        return False
    if trunk and not _may_be_trunk(vision, state):
        return False
    widths = {state[key].shape[0] for name in PROJECTIONS if (key := f"visual.{name}") in state and state[key].ndim}
    pooled_by_attention = "visual.trunk.attn_pool.latent" in state
    return config["embed_dim"] in (widths or {config["embed_dim"]}) and (
        (vision.get("timm_pool") == "map") == pooled_by_attention
    )


def _may_be_trunk(vision: Mapping[str, Any], state: Mapping[str, Tensor]) -> bool:
    known = timm.get_pretrained_cfg(vision["timm_model_name"])
    if known is None or not known.first_conv:
        return True
    name = known.first_conv if isinstance(known.first_conv, str) else known.first_conv[0]
    first, positions = state.get(f"visual.trunk.{name}.weight"), state.get("visual.trunk.pos_embed")
    if first is None or positions is None or name != "patch_embed.proj":
        return first is not None
    patches = (vision["image_size"] // first.shape[-1]) ** 2
    return positions.ndim == 3 and 0 <= positions.shape[1] - patches <= 1  # a class token may have one


def _comparable(config: Mapping[str, Any], *, text: bool) -> tuple[Any, ...]:
    image = (bool(config.get("quick_gelu")), CLIPVisionCfg(**config["vision_cfg"]))
    return (*image, config["embed_dim"], CLIPTextCfg(**config["text_cfg"])) if text else image


def _is_described(config: Mapping[str, Any]) -> bool:
    # captioners, text towers that would be fetched from the hub, and what weights do not tell
    hub = "multimodal_cfg" in config or "hf_model_name" in config["text_cfg"]
    return not hub and not set(UNSEEN) & config["vision_cfg"].keys()


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
