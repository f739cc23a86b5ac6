"""Frozen generative models that judge what a condition says about an image."""

from diva.denoisers.base import Denoiser
from diva.denoisers.stable_diffusion import StableDiffusionDenoiser

__all__ = ["Denoiser", "StableDiffusionDenoiser"]
