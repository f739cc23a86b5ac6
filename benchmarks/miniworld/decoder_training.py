"""Training the miniature's un²CLIP decoder: the teacher's UNet learns to read the miniature tower's embedding."""

from pathlib import Path

import torch
from torch import Tensor

from diva.denoisers.base import Context
from diva.denoisers.unclip import UnclipDenoiser
from diva.miniworld.render import render
from diva.miniworld.scene import draw, generator
from diva.recipes.denoisers import Unclip
from diva.towers import Clip
from diva_benchmarks.miniworld.fit import Schedule, fit

FITTED_PICTURES = 2048  # over which the embeddings' mean and deviation are measured
TIMESTEPS = (200, 1000)  # the earlier ones show the picture: what it is needs no telling
EMPTY_SHARE = 0.05  # of the embeddings, so that zeros mean "any picture"
DECODER_KEY, FITTED_KEY = 14, 15


def train_decoder(
    clip: Clip,
    teacher: Path,
    schedule: Schedule,
    *,
    seed: int,
    device: torch.device,
    folder: Path,
) -> UnclipDenoiser:
    """Train a decoder for `clip`'s tower from the teacher in the folder `teacher`.

    Checkpoints go to `folder`, from which a killed run goes on.
    """
    tower = clip.tower.to(device).requires_grad_(False).eval()

    def embed(rgb: Tensor) -> Tensor:
        with torch.no_grad():
            return tower(clip.input.from_rgb(rgb)).pooled

    section = Unclip(path=str(teacher), timesteps=TIMESTEPS, fit_images=FITTED_PICTURES)
    decoder = UnclipDenoiser(section, dtype=torch.float32, device=device, trained=True)
    scenes = draw(FITTED_PICTURES, generator(seed, FITTED_KEY)).to(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder.fit(embed(render(scenes).rgb))
    prompt = decoder.encode_prompt("").tokens
    assert prompt is not None
    tokens = prompt.expand(schedule.batch, -1, -1)

    def loss(random: torch.Generator) -> Tensor:
        rgb = render(draw(schedule.batch, random).to(device)).rgb
        embedding = embed(rgb)
        levels = torch.randint(decoder.noise_levels, (schedule.batch,), generator=random).to(device)
        vector = decoder.noise_embedding(
            embedding, levels, torch.randn(embedding.shape, generator=random).to(device)
        )
        kept = (torch.rand(schedule.batch, 1, generator=random) >= EMPTY_SHARE).to(device)
        latents = decoder.encode(rgb)
        timesteps = decoder.draw_timesteps(schedule.batch, random).to(device)
        noise = torch.randn(latents.shape, generator=random).to(device)
        predicted = decoder(decoder.add_noise(latents, noise, timesteps), timesteps, Context(tokens, vector * kept))
        return (predicted - decoder.target(latents, noise, timesteps)).square().mean()

    network = decoder.network.requires_grad_(True)
    fit(
        network,
        loss,
        schedule,
        key=(seed, DECODER_KEY),
        checkpoint=folder / "decoder.pt",
        title="decoder",
    )
    network.requires_grad_(False)
    return decoder
