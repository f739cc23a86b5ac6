"""What makes a step faster or smaller; 8-bit layers apart, without changing what it computes beyond its order."""

from collections.abc import Iterable

import torch
from torch import nn

from diva.denoisers import Denoiser
from diva.errors import InputError
from diva.recipes import Recipe
from diva.towers import Tower
from diva.training.float8 import require_float8, use_float8

# blocks that a network repeats: one compilation serves all of them
BLOCKS = (
    "BasicTransformerBlock",  # UNets
    "ResnetBlock2D",  # UNets and VAEs
    "ResidualAttentionBlock",  # open_clip's towers
    "Block",  # timm's towers
    "FluxTransformerBlock",
    "FluxSingleTransformerBlock",
)


def speed_up(recipe: Recipe, tower: Tower, denoiser: Denoiser, device: torch.device) -> None:
    """Apply the recipe's choices to the networks in place; parameters, their names and buffers stay as they are.

    Those of layers that become 8-bit do not, and they are in no checkpoint.

    Attention needs no choice: diffusers, open_clip and timm all call PyTorch's fused one.

    Raises:
        InputError: the denoiser's network cannot recompute its activations, or the device knows no 8-bit products.
    """
    training = recipe.training
    networks = [module for module in (denoiser.network, getattr(denoiser, "vae", None)) if module is not None]
    tower.set_grad_checkpointing(training.checkpoint_activations == "both")
    if training.checkpoint_activations != "none":
        _checkpoint(denoiser.network)
    if device.type == "cuda":
        for network in networks:
            # convolutions of a GPU's tensor cores want the channels last, and would reorder at every layer
            network.to(memory_format=torch.channels_last)
    if training.frozen_linear == "float8":
        require_float8(device)
        use_float8(denoiser.network)
    if training.compile == "regional":
        compile_blocks([tower, *networks])


def compile_blocks(networks: Iterable[nn.Module], backend: str = "inductor") -> int:
    """Compile every repeated block of `networks` in place, with torch's `backend`; return how many there are."""
    compiled = 0
    for network in networks:
        for module in network.modules():
            if type(module).__name__ in BLOCKS:
                module.compile(backend=backend)
                compiled += 1
    return compiled


def _checkpoint(network: nn.Module) -> None:
    enable = getattr(network, "enable_gradient_checkpointing", None)
    if enable is None:
        raise InputError(
            f"training.checkpoint_activations: {type(network).__name__} cannot recompute its activations; use none"
        )
    enable()
