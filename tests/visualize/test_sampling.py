"""Drawing, against diffusers' own pipeline."""

from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

from diva.denoisers import Context, load_denoiser
from diva.denoisers.sampling import require_sampling, sample_images
from diva.recipes.denoisers import StableDiffusion


@pytest.mark.parametrize("guidance", [1.0, 3.5])
def test_it_draws_what_diffusers_own_pipeline_draws(teacher_folder: Path, guidance: float) -> None:
    section = StableDiffusion(path=str(teacher_folder))
    loaded = load_denoiser(section, dtype=torch.float32, device=torch.device("cpu"))
    denoiser = require_sampling(loaded)
    pipeline = StableDiffusionPipeline.from_pretrained(teacher_folder, safety_checker=None)
    pipeline.scheduler = DDIMScheduler.from_config(
        pipeline.scheduler.config, clip_sample=False, set_alpha_to_one=False
    )
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    empty = loaded.encode_prompt("")
    assert empty.tokens is not None
    tokens = empty.tokens + torch.randn(2, *empty.tokens.shape[1:], generator=generator)
    noise = torch.randn(2, *denoiser.latent_shape(32), generator=generator)
    ours = sample_images(denoiser, Context(tokens, None), empty, noise, steps=5, guidance=guidance)
    theirs = pipeline(
        prompt_embeds=tokens,
        negative_prompt_embeds=empty.tokens.expand(2, -1, -1),
        latents=noise,
        num_inference_steps=5,
        guidance_scale=guidance,
        output_type="pt",
    ).images
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
