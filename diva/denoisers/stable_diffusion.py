"""Stable Diffusion 1.x and 2.x from a diffusers folder."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from diva.denoisers.base import Context
from diva.denoisers.latent import DdpmDenoiser, read_part
from diva.errors import Mismatch
from diva.progress import phase
from diva.towers.checkpoint import file_sha256


class StableDiffusionDenoiser(DdpmDenoiser):
    """The UNet and the VAE of a Stable Diffusion folder; `Context.tokens` are what the cross-attention reads."""

    kind = "Stable Diffusion"
    network_part = "unet"
    other_parts: ClassVar[tuple[str, ...]] = ("text_encoder", "tokenizer", "scheduler")

    def _make_network(self, _section: Any, dtype: torch.dtype) -> Any:
        unet = read_part(self.path, "unet", UNet2DConditionModel, torch_dtype=dtype)
        self.token_width = unet.config.cross_attention_dim
        return unet

    @property
    def side(self) -> int:
        """Side in pixels of the square images that the UNet was made for."""
        unet: Any = self.network
        return int(unet.config.sample_size * 2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def files_sha256(self) -> str:
        """SHA-256 over the names and the files of every part that is read."""
        digest = hashlib.sha256()
        for part in (self.network_part, "vae", *self.other_parts):
            for path in sorted(path for path in (self.path / part).rglob("*") if path.is_file()):
                digest.update(f"{path.relative_to(self.path).as_posix()}\0{file_sha256(path)}\n".encode())
        return digest.hexdigest()

    def encode_prompt(self, prompt: str) -> Context:
        """Return the text encoder's last hidden state as tokens [1, L, C] float32, padded to the full length.

        Raises:
            InputError: the folder's text encoder and UNet do not belong together.
        """
        return self.text_reader()([prompt])  # which is loaded for this call alone: a run needs it once

    def text_reader(self, dtype: torch.dtype = torch.float32) -> Callable[[Sequence[str]], Context]:
        """Load the text encoder and return what reads B prompts: its last hidden state as tokens [B, L, C].

        Raises:
            InputError: the folder's text encoder and UNet do not belong together (when it is called).
        """
        encode = self._text_encoder(CLIPTextModel, "text_encoder", "tokenizer", dtype)
        return lambda prompts: self._context(encode(prompts).last_hidden_state, None)

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

    @phase("loading a text encoder")
    def _text_encoder(
        self, reader: Any, encoder_part: str, tokenizer_part: str, dtype: torch.dtype
    ) -> Callable[[Sequence[str]], Any]:
        """Load a text encoder and return what maps prompts to its output."""
        tokenizer = read_part(self.path, tokenizer_part, CLIPTokenizer)
        encoder = read_part(self.path, encoder_part, reader, dtype=dtype).eval().to(self.scale.device)
        length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)

        @torch.no_grad()
        def encode(prompts: Sequence[str]) -> Any:
            batch = tokenizer(
                list(prompts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
            )
            return encoder(batch.input_ids.to(self.scale.device), output_hidden_states=True)

        return encode

    def _context(self, tokens: Tensor, vector: Tensor | None) -> Context:
        if tokens.shape[-1] != self.token_width:
            raise Mismatch(
                "denoiser.path",
                self.path,
                f"has a text encoder of width {tokens.shape[-1]} but a UNet that reads"
                f" width {self.token_width}; they come from different models",
            )
        return Context(tokens, vector)


load = StableDiffusionDenoiser
