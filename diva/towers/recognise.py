"""Which open_clip architecture a state dict holds, told from the shapes of its tensors alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import open_clip
import torch
from torch import Tensor


@dataclass(frozen=True)
class Shape:
    """What distinguishes the image towers of open_clip's ViTs.

    Attributes:
        embed_dim: width of the joint space; width: of the trunk; layers: number of blocks;
        patch: patch side in pixels; grid: patches a side.
    """

    embed_dim: int
    width: int
    layers: int
    patch: int
    grid: int


def recognise(state: Mapping[str, Tensor]) -> str | None:
    """Return the names of open_clip's architectures that `state` fits, or None.

    The activation leaves no trace in the weights, so `ViT-L-14` and `ViT-L-14-quickgelu` are both named.
    """
    shape = _shape_of_state(state)
    if shape is None:
        return None
    names = [
        name for name in open_clip.list_models() if _may_be(name, shape) and _shape_of_model(name) == shape
    ]
    return " or ".join(names) or None


def _may_be(name: str, shape: Shape) -> bool:
    config = open_clip.get_model_config(name)
    if "multimodal_cfg" in config or "hf_model_name" in config["text_cfg"]:
        return False  # captioners, and text towers that would be fetched from the hub
    grid = config["vision_cfg"].get("image_size", 224) // shape.patch
    return config["embed_dim"] == shape.embed_dim and grid == shape.grid


def _shape_of_model(name: str) -> Shape | None:
    with torch.device("meta"):
        model = open_clip.create_model(name, device="meta", load_weights=False, pretrained_text=False)
    return _shape_of_state(model.state_dict())


def _layers(state: Mapping[str, Tensor], prefix: str) -> int:
    return len({key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)})


def _shape_of_state(state: Mapping[str, Tensor]) -> Shape | None:
    if "visual.conv1.weight" in state and "visual.proj" in state:
        positions, patch = state["visual.positional_embedding"].shape[0] - 1, state["visual.conv1.weight"]
        embed_dim, layers = state["visual.proj"].shape[1], _layers(state, "visual.transformer.resblocks.")
    elif "visual.trunk.patch_embed.proj.weight" in state and "visual.trunk.attn_pool.latent" in state:
        positions, patch = (
            state["visual.trunk.pos_embed"].shape[1],
            state["visual.trunk.patch_embed.proj.weight"],
        )
        embed_dim, layers = patch.shape[0], _layers(state, "visual.trunk.blocks.")
    else:
        return None
    return Shape(embed_dim, patch.shape[0], layers, patch.shape[-1], math.isqrt(positions))
