"""DIVA's released training step for OpenAI CLIP, written out plainly from its description (docs/method.md).

Nothing of `diva` is used: the tower's modules are called one by one, the UNet and the VAE are diffusers' own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn

OPENAI_MEAN, OPENAI_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass
class Published:
    """The released model: an open_clip ViT's image side, a projection, a UNet, a VAE and the prompt's embedding."""

    visual: nn.Module
    projection: nn.Linear
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text: Tensor

    def tokens(self, image: Tensor, patches: Tensor) -> Tensor:
        """Class token and the drawn patches, each through ln_post and the visual projection."""
        v = self.visual
        x = v.conv1(image).flatten(2).transpose(1, 2)
        x = torch.cat([v.class_embedding.expand(len(x), 1, -1), x], dim=1) + v.positional_embedding
        x = v.ln_pre(x)
        for block in v.transformer.resblocks:
            x = block(x)
        x = v.ln_post(x) @ v.proj
        rows = [torch.cat([row[:1], row[1:][drawn]]) for row, drawn in zip(x, patches, strict=True)]
        return torch.stack(rows)

    def losses(self, image: Tensor, draws: Sequence[tuple[Tensor, Tensor, Tensor]]) -> list[Tensor]:
        """The loss of each inner step on one micro-batch of images in 0..1; the tower runs anew in each."""
        normalised = (image - _channels(OPENAI_MEAN)) / _channels(OPENAI_STD)
        side = self.visual.image_size
        small = F.interpolate(normalised, size=side, mode="bilinear", antialias=False)
        seen = 2 * (normalised * _channels(IMAGENET_STD) + _channels(IMAGENET_MEAN)) - 1
        latent = self.vae.encode(seen).latent_dist.mean.detach() * self.vae.config.scaling_factor
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        alphas = torch.cumprod(1 - betas, dim=0)
        losses = []
        for t, noise, patches in draws:
            context = self.text + self.projection(self.tokens(small, patches))
            a = alphas[t].view(-1, 1, 1, 1)
            prediction = self.unet(a.sqrt() * latent + (1 - a).sqrt() * noise, t, context).sample
            losses.append(((prediction - noise) ** 2).mean())
        return losses

    def accumulate(self, micro_batches: Sequence[tuple[Tensor, Sequence[tuple[Tensor, Tensor, Tensor]]]]) -> float:
        """Accumulate the gradients of one update; return the loss that the released code logs.

        The first inner step's loss is backpropagated as it is; the trainer divides only the second, which the
        model returns, by the number of accumulated micro-batches.
        """
        logged = 0.0
        for image, draws in micro_batches:
            first, second = self.losses(image, draws)
            first.backward()
            (second / len(micro_batches)).backward()
            logged += second.item() / len(micro_batches)
        return logged


def _channels(values: tuple[float, float, float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1)
