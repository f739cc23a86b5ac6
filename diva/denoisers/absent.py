"""What stands in a denoiser's place where the objective asks none: nothing is loaded, drawn or encoded."""

# ruff: noqa: ARG002 - they are named as every denoiser names them

from pathlib import Path

import torch
from torch import Tensor, nn

from diva.denoisers.base import Context


class AbsentDenoiser:
    """A denoiser of latents without elements."""

    encoder_sha256 = ""
    token_width: int | None = None
    vector_width: int | None = None

    def __init__(self) -> None:
        """Have no weights."""
        self.network: nn.Module = nn.Identity()

    def encode_prompt(self, prompt: str) -> Context:
        """Return nothing."""
        return Context(None, None)

    def draw_timesteps(self, samples: int, generator: torch.Generator) -> Tensor:
        """Return zeros [samples]."""
        return torch.zeros(samples, dtype=torch.int64)

    def latent_shape(self, side: int) -> tuple[int, int, int]:
        """Return (0, 0, 0)."""
        return 0, 0, 0

    def draw_posterior(self, side: int, generator: torch.Generator) -> Tensor:
        """Return nothing, [0]."""
        return torch.empty(0)

    def encode(self, rgb: Tensor, posterior: Tensor | None = None) -> Tensor:
        """Return latents [B, 0, 0, 0]."""
        return rgb.new_empty(len(rgb), 0, 0, 0)

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the latents."""
        return latents

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the latents."""
        return latents

    def __call__(self, noisy: Tensor, timesteps: Tensor, context: Context) -> Tensor:
        """Return what is given."""
        return noisy

    def save(self, folder: Path) -> None:
        """Write nothing."""
