"""Stable Diffusion 1.x and 2.x from a diffusers folder."""

from typing import Any, ClassVar

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from diva.denoisers.base import Context
from diva.denoisers.latent import DdpmDenoiser, read_part
from diva.errors import InputError


class StableDiffusionDenoiser(DdpmDenoiser):
    """The UNet and the VAE of a Stable Diffusion folder; `Context.tokens` are what the cross-attention reads."""

    kind = "Stable Diffusion"
    network_part = "unet"
    other_parts: ClassVar[tuple[str, ...]] = ("text_encoder", "tokenizer", "scheduler")

    def _make_network(self, _section: Any, dtype: torch.dtype) -> Any:
        unet = read_part(self.path, "unet", UNet2DConditionModel, torch_dtype=dtype)
        self.token_width = unet.config.cross_attention_dim
        return unet

    @torch.no_grad()
    def encode_prompt(self, prompt: str) -> Context:
        """Return the text encoder's last hidden state as tokens [1, L, C] float32, padded to the full length.

        Raises:
            InputError: the folder's text encoder and UNet do not belong together.
        """
        encoded = self._encode_text(prompt, CLIPTextModel, "text_encoder", "tokenizer")
        return self._context(encoded.last_hidden_state, None)

    def forward(self, noisy: Tensor, timesteps: Tensor, context: Context) -> Tensor:
        """Predict from `noisy` [B, c, h, w], `timesteps` [B] and `context`; in `noisy`'s dtype."""
        assert context.tokens is not None
        conditions = self._conditions(noisy, context)
        prediction = self.network(
            noisy.to(self.dtype), timesteps, context.tokens.to(self.dtype), return_dict=False, **conditions
        )[0]
        return prediction.to(noisy.dtype)

    def _conditions(self, _noisy: Tensor, _context: Context) -> dict[str, Any]:
        """Return what the UNet is told besides timesteps and tokens."""
        return {}

    def _encode_text(self, prompt: str, reader: Any, encoder_part: str, tokenizer_part: str) -> Any:
        """Return what a text encoder makes of `prompt`; it is loaded for this call alone: a run needs it once."""
        tokenizer = read_part(self.path, tokenizer_part, CLIPTokenizer)
        encoder = read_part(self.path, encoder_part, reader, dtype=torch.float32).eval().to(self.scale.device)
        length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
        batch = tokenizer(prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        return encoder(batch.input_ids.to(self.scale.device), output_hidden_states=True)

    def _context(self, tokens: Tensor, vector: Tensor | None) -> Context:
        if tokens.shape[-1] != self.token_width:
            raise InputError(
                f"denoiser.path: {self.path} has a text encoder of width {tokens.shape[-1]} but a UNet that reads"
                f" width {self.token_width}; they are from two models"
            )
        return Context(tokens, vector)


load = StableDiffusionDenoiser
