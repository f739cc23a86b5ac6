"""Stable Diffusion of true shapes with random weights, as a diffusers folder: for timing, without a download.

A random network costs what a trained one does, and a folder is loaded through the code that loads the released one.
"""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

# diffusers' top level shows type checkers empty stand-ins of these classes
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from diva.errors import Unknown, did_you_mean
from diva.recipes import Recipe

POSITIONS = 77  # of every Stable Diffusion's text encoder


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes in which Stable Diffusions differ.

    Attributes:
        image_size: side of the pictures in pixels; the VAE shrinks them eight times.
        unet, vae: channels of the four levels; `groups` divides them all.
        heads: attention heads of the UNet's levels.
        text: width of the text encoder, with `text_layers` layers and `text_heads` heads.
    """

    image_size: int
    unet: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    vae: tuple[int, int, int, int]
    text: int
    text_layers: int
    text_heads: int
    groups: int = 32


# by the name of the folder in a recipe. The first is published; the others stand to a ViT-S/32 and to a ViT-S/16 as
# it stands to a ViT-L/14 at 224 px: 3.4 times the tower's arithmetic for the UNet, 2.3 times for the VAE
SHAPES: Mapping[str, Shape] = {
    "stable-diffusion-2-1-base": Shape(
        image_size=512,
        unet=(320, 640, 1280, 1280),
        heads=(5, 10, 20, 20),
        vae=(128, 256, 512, 512),
        text=1024,
        text_layers=23,
        text_heads=16,
    ),
    "stable-diffusion-small": Shape(
        image_size=192,
        unet=(104, 208, 416, 416),
        heads=(2, 4, 8, 8),
        vae=(40, 80, 160, 160),
        text=256,
        text_layers=6,
        text_heads=4,
        groups=8,
    ),
    "stable-diffusion-medium": Shape(
        image_size=256,
        unet=(160, 320, 640, 640),
        heads=(4, 8, 16, 16),
        vae=(60, 120, 240, 240),
        text=512,
        text_layers=12,
        text_heads=8,
        groups=20,
    ),
}


@dataclass(frozen=True)
class Networks:
    """The networks of one Stable Diffusion."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel


def build_networks(shape: Shape, *, vocabulary: int = 49408) -> Networks:
    """Build the networks of `shape` on torch's default device; on "meta" they are shapes alone."""
    unet = UNet2DConditionModel(
        sample_size=shape.image_size // 8,
        block_out_channels=shape.unet,
        attention_head_dim=shape.heads,  # this class reads it as the number of heads
        cross_attention_dim=shape.text,
        use_linear_projection=True,
        norm_num_groups=shape.groups,
    )
    vae = AutoencoderKL(
        sample_size=shape.image_size,
        block_out_channels=shape.vae,
        layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=shape.groups,
    )
    text = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=shape.text,
        intermediate_size=4 * shape.text,
        num_hidden_layers=shape.text_layers,
        num_attention_heads=shape.text_heads,
        max_position_embeddings=POSITIONS,
        hidden_act="gelu",
        bos_token_id=0,
        eos_token_id=1,
    )
    return Networks(unet, vae, CLIPTextModel(text))


def write_random_stable_diffusion(
    folder: Path, shape: Shape, *, seed: int = 0, dtype: torch.dtype = torch.bfloat16
) -> Path:
    """Write a Stable Diffusion of `shape` with random weights from `seed`; return `folder`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = _tokenizer()
        networks = build_networks(shape, vocabulary=len(tokenizer))
    parts: dict[str, Any] = {
        # diffusers' own method would warn that some of its networks lose by it
        "unet": nn.Module.to(networks.unet, dtype),
        "vae": nn.Module.to(networks.vae, dtype),
        "text_encoder": networks.text_encoder,
        "tokenizer": tokenizer,
        # the schedule of Stable Diffusion 2.1-base
        "scheduler": DDPMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
        ),
    }
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    return folder


def write_teacher(recipe: Recipe, folder: Path) -> None:
    """Write a teacher of the shape that the name of the recipe's teacher stands for, with random weights.

    Raises:
        InputError: no shape has that name.
    """
    name = Path(recipe.denoiser.path).name
    if name not in SHAPES:
        raise Unknown(
            "--random-weights", f"denoiser.path '{name}' is not a known shape; {did_you_mean(name, SHAPES)}"
        )
    write_random_stable_diffusion(folder, SHAPES[name])


def _tokenizer() -> CLIPTokenizer:
    """Return a tokenizer of letters: a prompt costs the same whatever its tokens are."""
    letters = [letter + end for letter in string.printable.strip() for end in ("", "</w>")]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters]
    return CLIPTokenizer(
        vocab={token: number for number, token in enumerate(tokens)}, merges=[], model_max_length=POSITIONS
    )
