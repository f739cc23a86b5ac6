"""What every denoiser offers to the feedback step."""

from typing import Protocol

from torch import Tensor


class Denoiser(Protocol):
    """A frozen network that predicts noise, or something equivalent, from noisy latents and a context."""

    timesteps: tuple[int, int]

    def encode_prompt(self, prompt: str) -> Tensor:
        """Return the embedding [1, L, C] of a prompt, float32."""

    def encode(self, rgb: Tensor) -> Tensor:
        """Return the latents [B, c, h, w] of images [B, 3, H, W] in 0..1."""

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the latents at `timesteps` [B] of the forward process."""

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return what the network was trained to predict."""

    def __call__(self, noisy: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """Return the prediction [B, c, h, w] under `context` [B, M, C]."""
