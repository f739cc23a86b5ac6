"""Drawing images with a denoiser, from what a condition tells it."""

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from diva.denoisers.base import Context, Denoiser
from diva.denoisers.latent import DdpmDenoiser
from diva.errors import Mismatch


def require_sampling(denoiser: Denoiser) -> DdpmDenoiser:
    """Return `denoiser` if images can be drawn with it.

    Raises:
        InputError: it has no schedule of timesteps.
    """
    if not isinstance(denoiser, DdpmDenoiser):
        raise Mismatch("denoiser.type", "images are sampled with DDIM, which needs a timestep schedule (DDPM)")
    return denoiser


@torch.no_grad()
def sample_images(
    denoiser: DdpmDenoiser, context: Context, empty: Context, noise: Tensor, *, steps: int, guidance: float
) -> Tensor:
    """Draw an image for each context by DDIM without further noise (Song et al., arXiv 2010.02502, η = 0).

    Args:
        context: of batch B.
        empty: of batch 1, what guidance leads away from.
        noise: [B, c, h, w] standard normal; see `Denoiser.latent_shape`.
        steps: how many of the schedule's timesteps are visited.
        guidance: weight of the prediction under `context` against that under `empty` (Ho & Salimans 2022); 1 asks
            `empty` nothing.

    Returns:
        Images [B, 3, H, W] in 0..1, in `noise`'s dtype.
    """
    # latents have no range that they could be clipped to
    schedule = DDIMScheduler.from_config(denoiser.scheduler.config, clip_sample=False, set_alpha_to_one=False)
    schedule.set_timesteps(steps, device=noise.device)
    remove_noise = schedule.step
    latents, nothing = noise, empty.repeat(len(noise))
    for timestep in schedule.timesteps:
        now = timestep.expand(len(noise))
        prediction = denoiser(latents, now, context)
        if guidance != 1:
            prediction = torch.lerp(denoiser(latents, now, nothing), prediction, guidance)
        latents = remove_noise(prediction, timestep, latents).prev_sample
    return _decode(denoiser, latents)


def _decode(denoiser: DdpmDenoiser, latents: Tensor) -> Tensor:
    """Return images in 0..1: what `DdpmDenoiser.encode` does, backwards."""
    config = denoiser.vae.config
    scaled = latents / config.scaling_factor + (config.shift_factor or 0.0)
    images = denoiser.vae.decode(scaled.to(denoiser.vae.dtype)).sample.to(latents.dtype)
    return ((images - denoiser.shift) / denoiser.scale).clamp(0, 1)
