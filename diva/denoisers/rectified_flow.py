"""A small FLUX-style transformer that learns a rectified flow in latents (GenHancer, arXiv 2503.19480, section 3).

The blocks are diffusers' own; the recipe gives their number and width, and the transformer starts from random
weights or from a folder that an earlier stage wrote. The VAE is FLUX's: 16 channels, a shift as well as a scale.
"""

from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor

from diva.denoisers.base import Context
from diva.denoisers.latent import LatentDenoiser, read_part
from diva.errors import Invalid, Mismatch
from diva.recipes.denoisers import FlowTransformer, RectifiedFlow

PACK = 2  # a token is a square of so many latents a side


class RectifiedFlowDenoiser(LatentDenoiser):
    """Predicts the velocity from clean latents to noise; reads tokens and a vector, as FLUX does of text."""

    kind = "FLUX"
    network_part = "transformer"
    token_width: int
    vector_width: int

    def __init__(
        self, section: RectifiedFlow, *, dtype: torch.dtype, device: torch.device, trained: bool = False
    ) -> None:
        """Load the VAE, and load or make the transformer, as `LatentDenoiser` does.

        Raises:
            InputError: also where transformer and VAE do not belong together.
        """
        super().__init__(section, dtype=dtype, device=device, trained=trained)
        self.timestep_std, self.guidance = section.timestep_std, section.guidance

    def _parts_read(self, section: RectifiedFlow) -> tuple[str, ...]:
        return ("vae",) if section.transformer else super()._parts_read(section)

    def _make_network(self, section: RectifiedFlow, dtype: torch.dtype) -> Any:
        packed = self.vae.config.latent_channels * PACK**2
        if section.transformer:
            # in float32 whatever is asked for: random weights are there to be trained
            network = _random_transformer(section.transformer, packed)
        else:
            network = read_part(self.path, "transformer", FluxTransformer2DModel, torch_dtype=dtype)
        config = network.config
        if config.in_channels != packed:
            raise Mismatch(
                "denoiser.path",
                self.path,
                f"has a transformer for {config.in_channels} packed channels but a VAE"
                f" that gives {packed}; they come from different models",
            )
        self._guided = config.guidance_embeds
        self.token_width, self.vector_width = config.joint_attention_dim, config.pooled_projection_dim
        return network

    def encode_prompt(self, prompt: str) -> Context:
        """Return one token [1, 1, C] and a vector [1, V] of zeros: all that the transformer reads is the tower's.

        Raises:
            InputError: there is a prompt, which nothing here can read.
        """
        if prompt:
            raise Mismatch("condition.prompt", self.path, "is used without text encoders; leave the prompt empty")
        zeros = self.scale.new_zeros
        return Context(zeros(1, 1, self.token_width), zeros(1, self.vector_width))

    def latent_shape(self, side: int) -> tuple[int, int, int]:
        """Return (c, h, w) of the latents of a square image of `side` pixels.

        Raises:
            InputError: the latents cannot be packed two by two.
        """
        shape = super().latent_shape(side)
        if shape[-1] % PACK:
            raise Invalid(
                "data.image_size",
                f"{side} gives latents {shape[-1]} wide, but they are packed two by two; take"
                f" a multiple of {PACK * 2 ** (len(self.vae.config.block_out_channels) - 1)}",
            )
        return shape

    def draw_timesteps(self, samples: int, generator: torch.Generator) -> Tensor:
        """Draw times [samples] float32 in 0..1, logit-normal (Esser et al. 2024, section 3.1); 1 is pure noise."""
        return torch.sigmoid(self.timestep_std * torch.randn(samples, generator=generator))

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return (1 − t) · latents + t · noise (Liu et al. 2022, equation 1)."""
        t = timesteps.to(latents.dtype).view(-1, 1, 1, 1)
        return (1 - t) * latents + t * noise

    def target(self, latents: Tensor, noise: Tensor, _timesteps: Tensor) -> Tensor:
        """Return the velocity, noise − latents."""
        return noise - latents

    def forward(self, noisy: Tensor, timesteps: Tensor, context: Context) -> Tensor:
        """Predict from `noisy` [B, c, h, w], times [B] and both parts of `context`; in `noisy`'s dtype."""
        assert context.tokens is not None
        assert context.vector is not None
        dtype, device = self.dtype, noisy.device
        height, width = noisy.shape[-2] // PACK, noisy.shape[-1] // PACK
        sides = (torch.arange(side, device=device) for side in (height, width))
        rows, columns = torch.meshgrid(*sides, indexing="ij")
        places = torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).flatten(0, 1)
        prediction = self.network(
            hidden_states=_pack(noisy).to(dtype),
            timestep=timesteps.to(dtype),
            guidance=torch.full_like(timesteps, self.guidance) if self._guided else None,
            pooled_projections=context.vector.to(dtype),
            encoder_hidden_states=context.tokens.to(dtype),
            txt_ids=torch.zeros(context.tokens.shape[1], 3, device=device, dtype=dtype),
            img_ids=places.to(dtype),
            return_dict=False,
        )[0]
        return _unpack(prediction, height).to(noisy.dtype)


def _random_transformer(sizes: FlowTransformer, channels: int) -> Any:
    return FluxTransformer2DModel(
        in_channels=channels,
        num_layers=sizes.double_blocks,
        num_single_layers=sizes.single_blocks,
        num_attention_heads=sizes.heads,
        attention_head_dim=sum(sizes.rotary),
        axes_dims_rope=sizes.rotary,
        joint_attention_dim=sizes.token_width,
        pooled_projection_dim=sizes.vector_width,
        guidance_embeds=True,
    )


def _pack(latents: Tensor) -> Tensor:
    """Turn latents [B, c, h, w] into tokens [B, h / 2 · w / 2, 4 c], channels before places within a square."""
    squares = latents.unflatten(3, (-1, PACK)).unflatten(2, (-1, PACK))  # [B, c, h / 2, 2, w / 2, 2]
    return squares.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def _unpack(tokens: Tensor, rows: int) -> Tensor:
    """Undo `_pack` for latents of `rows` rows of squares."""
    squares = tokens.unflatten(2, (-1, PACK, PACK)).unflatten(1, (rows, -1))  # [B, h / 2, w / 2, c, 2, 2]
    return squares.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


load = RectifiedFlowDenoiser
