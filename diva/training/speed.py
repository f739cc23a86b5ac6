"""What makes a step faster or smaller, without changing what it computes beyond its order."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from diva.compat import limit_graphs
from diva.denoisers import Denoiser
from diva.errors import Unsupported
from diva.recipes import Recipe
from diva.towers import Tower

# blocks that a network repeats: one compilation serves all that are alike
BLOCKS = (
    "BasicTransformerBlock",  # UNets
    "ResnetBlock2D",  # UNets and VAEs
    "ResidualAttentionBlock",  # open_clip's towers
    "Block",  # timm's towers
    "FluxTransformerBlock",
    "FluxSingleTransformerBlock",
)

# of one class of blocks; torch's own limit is 8, but the ResNet blocks of Stable
# Diffusion 2.1's UNet and VAE become 23 graphs in an update (channels, sizes, gradients or none), 45 with the batch
# of the diagnostics and 61 with one more
GRAPHS = 128


def speed_up(recipe: Recipe, tower: Tower, denoiser: Denoiser, device: torch.device) -> None:
    """Apply the recipe's choices to the networks in place; parameters, their names and buffers stay as they are.

    Attention needs no choice: diffusers, open_clip and timm all call PyTorch's fused one.

    Raises:
        InputError: the denoiser's network cannot recompute its activations.
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
    if training.compile == "regional":
        compile_blocks([tower, *networks])


def compile_blocks(networks: Iterable[nn.Module], backend: str | Callable[..., Any] = "inductor") -> int:
    """Compile every repeated block of `networks` in place, with torch's `backend`; return how many there are."""
    compiled = 0
    limit_graphs(GRAPHS)
    for network in networks:
        for module in network.modules():
            if type(module).__name__ in BLOCKS:
                module.compile(backend=backend)
                compiled += 1
    return compiled


def _checkpoint(network: nn.Module) -> None:
    enable = getattr(network, "enable_gradient_checkpointing", None)
    if enable is None:
        raise Unsupported(
            "training.checkpoint_activations",
            f"{type(network).__name__} cannot recompute its activations; use none",
        )
    enable()
