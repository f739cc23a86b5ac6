"""Stable Diffusion XL from a diffusers folder: two text encoders, and a UNet that is told the image's size."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from diva.denoisers.base import Context
from diva.denoisers.stable_diffusion import StableDiffusionDenoiser

SIZES = 6  # numbers that say how large an image was and is, and how it was cropped


class StableDiffusionXlDenoiser(StableDiffusionDenoiser):
    """The UNet and the VAE of an SDXL folder; `Context.vector` stands where the pooled text does."""

    kind = "Stable Diffusion XL"
    other_parts = (*StableDiffusionDenoiser.other_parts, "text_encoder_2", "tokenizer_2")

    def _make_network(self, section: Any, dtype: torch.dtype) -> Any:
        unet = super()._make_network(section, dtype)
        sizes = SIZES * unet.config.addition_time_embed_dim
        self.vector_width = unet.config.projection_class_embeddings_input_dim - sizes
        return unet

    def text_reader(self, dtype: torch.dtype = torch.float32) -> Callable[[Sequence[str]], Context]:
        """Load both text encoders and return what reads B prompts.

        It gives their last but one hidden states side by side as tokens [B, L, C1 + C2], and the second one's
        pooled text as vector [B, P] (arXiv 2307.01952, section 2.1).

        Raises:
            InputError: the folder's text encoders and UNet do not belong together (when it is called).
        """
        encoders = [
            self._text_encoder(CLIPTextModel, "text_encoder", "tokenizer", dtype),
            self._text_encoder(CLIPTextModelWithProjection, "text_encoder_2", "tokenizer_2", dtype),
        ]

        def read(prompts: Sequence[str]) -> Context:
            first, second = (encode(prompts) for encode in encoders)
            tokens = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
            return self._context(tokens, second.text_embeds)

        return read

    def _conditions(self, noisy: Tensor, context: Context) -> dict[str, Any]:
        assert context.vector is not None
        shrinks = 2 ** (len(self.vae.config.block_out_channels) - 1)
        height, width = (noisy.new_full((len(noisy), 1), shrinks * side) for side in noisy.shape[-2:])
        corner = noisy.new_zeros(len(noisy), 2)
        return {
            "added_cond_kwargs": {
                "text_embeds": context.vector.to(self.dtype),
                # as it was, its upper left corner, as it is: an image that nobody cropped
                "time_ids": torch.cat([height, width, corner, height, width], dim=1).to(self.dtype),
            }
        }


load = StableDiffusionXlDenoiser
