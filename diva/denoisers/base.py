"""What every denoiser offers to the feedback step, and what it reads."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn


class Context(NamedTuple):
    """What a denoiser is told about B images.

    Attributes:
        tokens: [B, M, C], read by cross-attention or in place of text tokens; None where there are none.
        vector: [B, V], read as a pooled, class or image embedding; None where there is none.
    """

    tokens: Tensor | None
    vector: Tensor | None

    def map(self, change: Callable[[Tensor], Tensor]) -> "Context":
        """Return the context whose parts `change` has made of these."""
        return Context(*(None if part is None else change(part) for part in self))

    def take(self, index: Tensor) -> "Context":
        """Return the contexts that `index` [K] names."""
        return self.map(lambda part: part[index])

    def join(self, other: "Context") -> "Context":
        """Return these contexts and, behind them, the `other` ones, which have the same parts."""
        pairs = zip(self, other, strict=True)
        return Context(*(None if a is None or b is None else torch.cat([a, b]) for a, b in pairs))

    def by_view(self, samples: int, views: int) -> list["Context"]:
        """Take the contexts of several views apart: [S * V * B, ...], sample-major, to V of [S * B, ...]."""

        def one(part: Tensor, view: int) -> Tensor:
            return part.unflatten(0, (samples, views, -1))[:, view].flatten(0, 1)

        return [self.map(partial(one, view=view)) for view in range(views)]

    def repeat(self, times: int) -> "Context":
        """Return `times` copies, one after another: [times * B, ...]."""
        return self.map(lambda part: part.repeat(times, *(1,) * (part.ndim - 1)))

    def shuffled(self, samples: int) -> "Context":
        """Give each image of a batch the context of its neighbour: [S * B, ...], sample-major, in and out."""
        return self.map(lambda part: part.unflatten(0, (samples, -1)).roll(1, dims=1).flatten(0, 1))


class Denoiser(Protocol):
    """A network that predicts noise, or something equivalent, from noisy latents and a context.

    Attributes:
        network: what a stage may train: frozen, in `eval()`, unless one does. The denoiser reaches it through this
            attribute alone, in whose place the trainer puts the wrapper that distributes it.
        token_width: C of the context's tokens; None where the network reads none.
        vector_width: V of the context's vector; None where the network reads none.
    """

    network: nn.Module
    token_width: int | None
    vector_width: int | None

    def encode_prompt(self, prompt: str) -> Context:
        """Return what the network reads where nothing but `prompt` is known, float32 and of batch 1.

        Raises:
            InputError: there is a prompt, and the network reads no text.
        """

    def draw_timesteps(self, samples: int, generator: torch.Generator) -> Tensor:
        """Draw the timesteps [S] of S noise samples on the CPU, in the unit that the other methods take."""

    @property
    def encoder_sha256(self) -> str:
        """SHA-256 over all that `encode` depends on, in hexadecimal."""

    def latent_shape(self, side: int) -> tuple[int, int, int]:
        """Return (c, h, w) of the latents of a square image of `side` pixels.

        Raises:
            InputError: the network cannot read the latents of such an image.
        """

    def draw_posterior(self, side: int, generator: torch.Generator) -> Tensor:
        """Draw what `encode` needs for one image of `side` pixels, on the CPU: [c, h, w], or [0] for nothing."""

    def encode(self, rgb: Tensor, posterior: Tensor | None = None) -> Tensor:
        """Return the latents [B, c, h, w] of images [B, 3, H, W] in 0..1, and of what was drawn for each of them.

        Raises:
            InputError: they are drawn anew at every look, and nothing was drawn.
        """

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the latents at `timesteps` [B] of the forward process, which is linear in latents and noise."""

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return what the network was trained to predict."""

    def __call__(self, noisy: Tensor, timesteps: Tensor, context: Context) -> Tensor:
        """Return the prediction [B, c, h, w] under `context`, in `noisy`'s dtype."""

    def save(self, folder: Path) -> None:
        """Write the denoiser as it is now to the new `folder`, which its recipe section can name as `path`."""


@runtime_checkable
class ReadsImageEmbeddings(Protocol):
    """A denoiser whose vector is made of a noisy image embedding (unCLIP).

    Attributes:
        embedding_width: D of the embeddings that it was trained for.
        noise_levels: L; levels are drawn uniformly from 0..L - 1 of the embeddings' own noise schedule.
        images_to_fit: number of images whose embeddings a new decoder must see before it can be used, or 0.
    """

    embedding_width: int
    noise_levels: int
    images_to_fit: int

    def fit(self, embeddings: Tensor) -> None:
        """Become a new decoder of such embeddings [N, D]."""

    def noise_embedding(self, embedding: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        """Return the vector [B, V] of embeddings [B, D] at levels [B] int64 in 0..L - 1, with noise [B, D]."""


@runtime_checkable
class ReadsText(Protocol):
    """A denoiser that can be told in words what an image shows."""

    @property
    def files_sha256(self) -> str:
        """SHA-256 over the files of everything that it is made of, its text encoders among them."""

    def text_reader(self, dtype: torch.dtype) -> Callable[[Sequence[str]], Context]:
        """Load the text encoders in `dtype`, and return what maps B prompts to the context of batch B.

        Raises:
            InputError: a part is missing, or does not belong to the others.
        """
