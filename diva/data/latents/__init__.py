"""Latents and tower inputs, computed once and read back in place of the images."""

from diva.data.latents.index import CacheIndex, Encoder, Wanted
from diva.data.latents.source import CachedImage, LatentSource, open_latents
from diva.data.latents.write import Written, write_latents

__all__ = [
    "CacheIndex",
    "CachedImage",
    "Encoder",
    "LatentSource",
    "Wanted",
    "Written",
    "open_latents",
    "write_latents",
]
