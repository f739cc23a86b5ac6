"""Generative models that judge what a condition says about an image: one module each, named by the recipe."""

from importlib import import_module

import torch

from diva.denoisers.base import Context, Denoiser
from diva.progress import phase
from diva.recipes.denoisers import AnyDenoiser

__all__ = ["Context", "Denoiser", "load_denoiser"]


@phase("loading the teacher")
def load_denoiser(
    section: AnyDenoiser, *, dtype: torch.dtype, device: torch.device, trained: bool = False
) -> Denoiser:
    """Load the denoiser of a recipe through the module that its `type` names.

    Args:
        section: the recipe's `denoiser`.
        dtype: of everything that stays frozen.
        device: where it is wanted.
        trained: whether some stage trains its network, which is then held in float32.

    Raises:
        InputError: a file is missing, cannot be read, or does not belong to the others.
    """
    denoiser: Denoiser = import_module(f"{__name__}.{section.type}").load(
        section, dtype=dtype, device=device, trained=trained
    )
    return denoiser
