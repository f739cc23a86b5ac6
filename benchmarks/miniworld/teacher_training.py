"""Training the miniature teacher from nothing: first its VAE, then the UNet with the text encoder."""

from pathlib import Path

import torch
from torch import Tensor, nn

from diva.miniworld.captions import full_captions
from diva.miniworld.render import SIZE, render
from diva.miniworld.scene import Scenes, draw, generator
from diva.miniworld.vocabulary import ATTRIBUTES, PLACES, SHAPES
from diva_benchmarks.miniworld.fit import Schedule, fit
from diva_benchmarks.miniworld.teacher import MiniatureTeacher

KL_WEIGHT = 1e-3
EMPTY_SHARE = 0.1  # of the prompts, so that the empty prompt means "any picture"
TIMESTEP_POWER = 0.7
SCALE_PICTURES = 256  # over which the latents' deviation is measured
VAE_KEY, UNET_KEY, SCALE_KEY = 11, 12, 13


def train_teacher(
    vae_schedule: Schedule,
    unet_schedule: Schedule,
    *,
    seed: int,
    device: torch.device,
    folder: Path,
) -> MiniatureTeacher:
    """Train a teacher on full captions; checkpoints go to `folder`, from which a killed run goes on."""
    teacher = MiniatureTeacher.build(SIZE, vocabulary(), seed).to(device)
    _train_vae(teacher, vae_schedule, seed, folder / "vae.pt")
    teacher.vae.requires_grad_(False).eval()
    scenes = draw(SCALE_PICTURES, generator(seed, SCALE_KEY)).to(device)
    teacher.set_scale(render(scenes).rgb)
    _train_unet(teacher, unet_schedule, seed, folder / "unet.pt")
    return teacher.eval()


def weaker_teacher(trained: MiniatureTeacher, schedule: Schedule, *, seed: int, folder: Path) -> MiniatureTeacher:
    """Return a teacher with the VAE of `trained` whose UNet and text encoder start anew and follow `schedule`.

    Args:
        trained: left as it is, on the CPU.
        schedule: of the UNet; with no steps the teacher stays untrained.
        seed: of the new networks.
        folder: for the checkpoint.
    """
    teacher = MiniatureTeacher.build(SIZE, vocabulary(), seed)
    teacher.vae.load_state_dict(trained.vae.state_dict())
    teacher.vae.requires_grad_(False).eval()
    teacher.vae.register_to_config(scaling_factor=trained.vae.config["scaling_factor"])
    if schedule.steps:
        _train_unet(teacher, schedule, seed, folder / "unet.pt")
    return teacher.eval()


def vocabulary() -> set[str]:
    """Return every word of the captions, and those of "a photo of a"."""
    phrases = [phrase for attribute in ATTRIBUTES for phrase in attribute.phrases]
    return set(" ".join(["a photo of in", *SHAPES, *PLACES, *phrases]).split())


def _train_vae(teacher: MiniatureTeacher, schedule: Schedule, seed: int, checkpoint: Path) -> None:
    device = next(teacher.parameters()).device

    def loss(random: torch.Generator) -> Tensor:
        rgb = render(draw(schedule.batch, random).to(device)).rgb
        noise = torch.randn(schedule.batch, 4, SIZE // 4, SIZE // 4, generator=random).to(device)
        error, divergence = teacher.reconstruction(rgb, noise)
        return error + KL_WEIGHT * divergence

    fit(teacher.vae, loss, schedule, key=(seed, VAE_KEY), checkpoint=checkpoint, title="VAE")


def _train_unet(teacher: MiniatureTeacher, schedule: Schedule, seed: int, checkpoint: Path) -> None:
    device = next(teacher.parameters()).device
    steps = teacher.timesteps

    def loss(random: torch.Generator) -> Tensor:
        scenes = draw(schedule.batch, random)
        ids = prompts(teacher, scenes, random).to(device)
        latents = teacher.latents(render(scenes.to(device)).rgb)
        # one draw from each of `batch` strata, for a steadier gradient; the power favours the noisy timesteps,
        # where the caption is all that the teacher has
        place = (torch.arange(schedule.batch) + torch.rand(schedule.batch, generator=random)) / schedule.batch
        timesteps = (place**TIMESTEP_POWER * steps).long().clamp(max=steps - 1).to(device)
        noise = torch.randn(latents.shape, generator=random).to(device)
        return teacher.noise_error(latents, teacher.context(ids), timesteps, noise).mean()

    trained = nn.ModuleList([teacher.unet, teacher.text_encoder])
    fit(trained, loss, schedule, key=(seed, UNET_KEY), checkpoint=checkpoint, title="UNet")


def prompts(teacher: MiniatureTeacher, scenes: Scenes, random: torch.Generator) -> Tensor:
    """Return the token ids of full captions, a tenth of them empty."""
    empty = torch.rand(scenes.number, generator=random) < EMPTY_SHARE
    captions = full_captions(scenes)
    return teacher.tokenize(
        ["" if gone else caption for gone, caption in zip(empty.tolist(), captions, strict=True)]
    )
