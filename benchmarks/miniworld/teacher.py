"""A miniature Stable Diffusion: built from nothing, trained by `diva.miniworld`, saved as a diffusers folder.

Every part is the published one's class at a small size, so a run on the miniature takes the code path of a run on
Stable Diffusion 2.1.
"""

import json
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Self, cast

import torch

# diffusers' top level shows type checkers empty stand-ins of these classes
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import IntTensor, Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from diva.pretrained import load_pretrained

POSITIONS = 37  # text positions: as many as the miniature tower's class token and 36 patches
TEXT_WIDTH = 96
HUE_WEIGHT = 4.0  # muted hues are a small part of a squared error: a short training would leave them out
START, END, LAST = "<|startoftext|>", "<|endoftext|>", "</w>"


class MiniatureTeacher(nn.Module):
    """UNet, VAE, text encoder, tokenizer and noise schedule of the miniature, in float32.

    Attributes:
        unet: predicts the noise in latents [B, 4, S/4, S/4] of pictures S pixels square.
        vae: shrinks pictures four times.
        text_encoder: gives the context [B, POSITIONS, TEXT_WIDTH].
        tokenizer: a small byte-pair vocabulary in which every word of the world is one token.
        schedule: Stable Diffusion's betas, epsilon prediction.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        schedule: DDPMScheduler,
    ) -> None:
        super().__init__()
        self.unet, self.vae, self.text_encoder = unet, vae, text_encoder
        self.tokenizer, self.schedule = tokenizer, schedule

    @classmethod
    def build(cls, size: int, words: Iterable[str], seed: int) -> Self:
        """Build a teacher for pictures `size` pixels square, with random weights from `seed`."""
        tokenizer = _tokenizer(words)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            unet = UNet2DConditionModel(
                sample_size=size // 4,
                block_out_channels=(32, 64),
                layers_per_block=1,
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                cross_attention_dim=TEXT_WIDTH,
                attention_head_dim=2,  # this class reads it as the number of heads
                norm_num_groups=8,
            )
            vae = AutoencoderKL(
                sample_size=size,
                down_block_types=("DownEncoderBlock2D",) * 3,
                up_block_types=("UpDecoderBlock2D",) * 3,
                block_out_channels=(16, 32, 32),
                layers_per_block=1,
                norm_num_groups=8,
                mid_block_add_attention=False,
            )
            text_encoder = CLIPTextModel(
                CLIPTextConfig(
                    vocab_size=len(tokenizer),
                    hidden_size=TEXT_WIDTH,
                    intermediate_size=2 * TEXT_WIDTH,
                    num_hidden_layers=2,
                    num_attention_heads=4,
                    max_position_embeddings=POSITIONS,
                    bos_token_id=tokenizer.bos_token_id,
                    eos_token_id=tokenizer.eos_token_id,
                )
            )
            # at transformers' 0.02 the mean of the words before it drowns a word, and late words stay unlearned
            nn.init.normal_(text_encoder.get_input_embeddings().get_parameter("weight"), std=0.5)
        # the schedule of Stable Diffusion 2.1-base
        schedule = DDPMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
        )
        return cls(unet, vae, text_encoder, tokenizer, schedule)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the folder that `save` wrote, in float32."""
        return cls(
            load_pretrained(UNet2DConditionModel, folder, "unet", torch_dtype=torch.float32),
            load_pretrained(AutoencoderKL, folder, "vae", torch_dtype=torch.float32),
            load_pretrained(CLIPTextModel, folder, "text_encoder", dtype=torch.float32),
            load_pretrained(CLIPTokenizer, folder, "tokenizer"),
            load_pretrained(DDPMScheduler, folder, "scheduler"),
        )

    def save(self, folder: Path) -> None:
        """Write a diffusers Stable Diffusion folder, weights as safetensors."""
        for name in ("unet", "vae", "text_encoder"):
            getattr(self, name).save_pretrained(folder / name)
        self.tokenizer.save_pretrained(folder / "tokenizer")
        self.schedule.save_pretrained(folder / "scheduler")
        parts = {
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "scheduler": ["diffusers", "DDPMScheduler"],
        }
        index: dict[str, Any] = {"_class_name": "StableDiffusionPipeline", **parts, "safety_checker": [None, None]}
        index |= {"feature_extractor": [None, None], "requires_safety_checker": False}
        (folder / "model_index.json").write_text(json.dumps(index, indent=1) + "\n")

    @property
    def timesteps(self) -> int:
        """Length of the noise schedule."""
        return int(self.schedule.config["num_train_timesteps"])

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Return token ids [B, POSITIONS] int64 on the CPU."""
        batch = self.tokenizer(
            list(texts), padding="max_length", max_length=POSITIONS, truncation=True, return_tensors="pt"
        )
        return batch.input_ids

    def context(self, ids: Tensor) -> Tensor:
        """Encode token ids to what the UNet reads, [B, POSITIONS, TEXT_WIDTH]."""
        return self.text_encoder(ids).last_hidden_state

    def reconstruction(self, rgb: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Send pictures [B, 3, S, S] in 0..1 through the VAE once, its latents drawn with `noise`.

        Returns:
            The mean squared error in −1..1, in which differences of hue count `HUE_WEIGHT` times more, and the KL
            divergence of the posterior, per element; scalars.
        """
        images = rgb * 2 - 1
        posterior = self.vae.encode(images).latent_dist
        difference = self.vae.decode(posterior.mean + posterior.std * noise).sample - images
        hue = difference - difference.mean(1, keepdim=True)
        error = difference.square().mean() + HUE_WEIGHT * hue.square().mean()
        return error, posterior.kl().mean() / noise[0].numel()

    @torch.no_grad()
    def latents(self, rgb: Tensor) -> Tensor:
        """Encode pictures [B, 3, S, S] in 0..1 to scaled latents [B, 4, S/4, S/4], the posterior's mean."""
        return self.vae.encode(rgb * 2 - 1).latent_dist.mean * self.vae.config["scaling_factor"]

    @torch.no_grad()
    def set_scale(self, rgb: Tensor) -> None:
        """Set the VAE's scaling factor so that the latents of these pictures have unit deviation."""
        self.vae.register_to_config(scaling_factor=1.0)
        self.vae.register_to_config(scaling_factor=1 / self.latents(rgb).std().item())

    def noise_error(self, latents: Tensor, context: Tensor, timesteps: Tensor, noise: Tensor) -> Tensor:
        """Return the mean squared error of the predicted noise for each of B latents, [B]."""
        noisy = self.schedule.add_noise(latents, noise, cast("IntTensor", timesteps))
        predicted = self.unet(noisy, timesteps, context, return_dict=False)[0]
        return (predicted - noise).square().flatten(1).mean(1)


def _tokenizer(words: Iterable[str]) -> CLIPTokenizer:
    merges = _merges(words)
    # any other text still has tokens: its letters, inside a word and at its end
    letters = [letter + end for letter in string.printable.strip() for end in ("", LAST)]
    tokens = dict.fromkeys([START, END, *letters, *("".join(pair) for pair in merges)])
    return CLIPTokenizer(
        vocab={token: number for number, token in enumerate(tokens)}, merges=merges, model_max_length=POSITIONS
    )


def _merges(words: Iterable[str]) -> Any:
    """Return the pairs that byte-pair encoding merges, in order, until every word is one token.

    The tokenizers library's trainer breaks ties by hash order, so the same words would give other token numbers in
    the next process. (Typed `Any`: CLIPTokenizer takes a list of pairs, its annotation knows text only.)
    """
    spelt = [(*word[:-1], word[-1] + LAST) for word in sorted(set(words))]
    merges: list[tuple[str, str]] = []
    while pairs := Counter(pair for parts in spelt for pair in pairwise(parts)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        spelt = [_merge(parts, best) for parts in spelt]
    return merges


def _merge(parts: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    merged: list[str] = []
    for part in parts:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return tuple(merged)
