"""A cache of a VAE's latents."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, Self

from torch import Tensor

from diva.data.cache.index import CacheIndex, Kind, Made
from diva.data.cache.source import CachedImage, CachedPart, open_cache
from diva.data.cache.write import Look
from diva.data.decode import Crop
from diva.data.shards import ShardSource
from diva.towers.preprocess import TowerInput

LATENTS = Kind(
    "latents", "a latent cache", "data.latents", "diva data cache-latents", ", or set data.latents to null"
)


class Encoder(Protocol):
    """The part of a denoiser that a cache stands in for."""

    @property
    def encoder_sha256(self) -> str:
        """SHA-256 over all that `encode` depends on: the VAE's weights, its scale, the range that it sees."""

    def encode(self, rgb: Tensor) -> Tensor:
        """Return the latents [B, c, h, w] of images [B, 3, H, W] in 0..1.

        Raises:
            InputError: a run draws them anew at every look, so that nothing can stand in for them.
        """


def look_of(encoder: Encoder) -> Look:
    """Return what `write_cache` stores of a crop: its latents in float16."""
    return lambda rgb, _keys: encoder.encode(rgb).half()


class Wanted(Made):
    """What latents depend on.

    Attributes:
        encoder_sha256: of the teacher's encoder.
    """

    encoder_sha256: str

    @classmethod
    def by(cls, encoder: Encoder, tower: TowerInput, image_size: int, crop_scale: tuple[float, float]) -> Self:
        """Return what a run of these parts needs."""
        return cls.of(tower, image_size, crop_scale, encoder_sha256=encoder.encoder_sha256)


class LatentIndex(CacheIndex[Wanted]):
    """The index of a latent cache."""

    kind = LATENTS


class LatentImage(CachedImage):
    """The latents of one image."""

    kind = LATENTS

    def crop(self, number: int) -> Crop:
        """Return the tower's input and the latents of crop `number`, modulo the number of crops."""
        pixels, latents = self.read(number)
        return Crop(pixels, latents=latents)


@dataclass(frozen=True)
class LatentPart(CachedPart):
    """A shard of latents."""

    image = LatentImage


@dataclass(frozen=True)
class LatentSource(ShardSource):
    """The shards of a latent cache."""

    kind = LATENTS.content
    part: ClassVar[type[CachedPart]] = LatentPart


def open_latents(folder: Path, wanted: Wanted) -> LatentSource:
    """Open the cache in `folder` for a run that needs what is `wanted`.

    Raises:
        InputError: there is no cache, it is not complete, or it was made with something else.
    """
    return open_cache(folder, wanted, LatentIndex, LatentSource)
