"""A class-conditional DiT from a diffusers folder (DIVA's ablation over teachers).

The condition takes the place of the class embedding: one vector, added to the timestep's in every block.
"""

from pathlib import Path
from typing import Any

import torch
from diffusers import DiTTransformer2DModel
from torch import Tensor, nn

from diva.denoisers.base import Context
from diva.denoisers.latent import DdpmDenoiser, read_part
from diva.errors import Mismatch
from diva.recipes.denoisers import Dit


class DitDenoiser(DdpmDenoiser):
    """The transformer of a DiT folder; `Context.vector` [B, width of the transformer] replaces the class."""

    kind = "DiT"
    network_part = "transformer"
    other_parts = ("scheduler",)
    nothing: Tensor

    def _make_network(self, _section: Dit, dtype: torch.dtype) -> Any:
        network = read_part(self.path, "transformer", DiTTransformer2DModel, torch_dtype=dtype)
        self._classes = [block.norm1.emb.class_embedder for block in network.transformer_blocks]
        # the last row is the class that guidance calls "none"
        nothing = self._classes[0].embedding_table.weight[-1:].detach().float()
        self.vector_width = nothing.shape[1]
        self.register_buffer("nothing", nothing, persistent=False)
        _set_class_embedders(network, [nn.Identity()] * len(self._classes))
        return network

    def encode_prompt(self, prompt: str) -> Context:
        """Return the embedding of "no class" as the vector [1, V] float32.

        Raises:
            InputError: there is a prompt, which a DiT cannot read.
        """
        if prompt:
            raise Mismatch("condition.prompt", self.path, "is a DiT, which reads no text; leave the prompt empty")
        return Context(None, self.nothing)

    def forward(self, noisy: Tensor, timesteps: Tensor, context: Context) -> Tensor:
        """Predict from `noisy` [B, c, h, h], `timesteps` [B] and `context.vector` [B, V]; in `noisy`'s dtype.

        A network that also learned the variance (Nichol & Dhariwal 2021) has twice the channels; those are dropped.
        """
        assert context.vector is not None
        prediction = self.network(
            noisy.to(self.dtype), timesteps, context.vector.to(self.dtype), return_dict=False
        )[0]
        return prediction[:, : noisy.shape[1]].to(noisy.dtype)

    def _save_network(self, folder: Path) -> None:
        _set_class_embedders(self.network, self._classes)
        super()._save_network(folder)
        _set_class_embedders(self.network, [nn.Identity()] * len(self._classes))


def _set_class_embedders(network: Any, embedders: list[nn.Module]) -> None:
    for block, embedder in zip(network.transformer_blocks, embedders, strict=True):
        block.norm1.emb.class_embedder = embedder


load = DitDenoiser
