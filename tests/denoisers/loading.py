"""Loading a denoiser the way a recipe does."""

from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from diva.denoisers import load_denoiser
from diva.recipes.denoisers import AnyDenoiser

FLOAT64 = torch.float64


def load(kind: str, folder: Path, *, trained: bool = False, **options: Any) -> Any:
    """Load the denoiser of a section with `type: kind`, in float32 on the CPU."""
    section = TypeAdapter(AnyDenoiser).validate_python({"type": kind, "path": str(folder), **options})
    return load_denoiser(section, dtype=torch.float32, device=torch.device("cpu"), trained=trained)


def alphas(beta_schedule: str = "scaled_linear") -> torch.Tensor:
    """Return ᾱ [1000] float64 of Stable Diffusion's schedule, or of DDPM's linear one."""
    if beta_schedule == "linear":
        betas = torch.linspace(1e-4, 0.02, 1000, dtype=FLOAT64)
    else:
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=FLOAT64) ** 2
    return torch.cumprod(1 - betas, dim=0)


def generators(number: int, seed: int = 0) -> list[torch.Generator]:
    """Return seeded generators, one an image."""
    return [torch.Generator().manual_seed(seed + place) for place in range(number)]
