"""What a run needs of its images, computed once and read back in their place: latents, or a teacher's verdicts.

Beside it lies the tower's input.
"""

from diva.data.cache.index import CacheIndex, Kind, Made
from diva.data.cache.latents import Encoder, LatentIndex, LatentSource, Wanted, look_of, open_latents
from diva.data.cache.source import CachedImage
from diva.data.cache.verdicts import Judged, VerdictIndex, VerdictSource, open_verdicts
from diva.data.cache.write import Written, write_cache

__all__ = [
    "CacheIndex",
    "CachedImage",
    "Encoder",
    "Judged",
    "Kind",
    "LatentIndex",
    "LatentSource",
    "Made",
    "VerdictIndex",
    "VerdictSource",
    "Wanted",
    "Written",
    "look_of",
    "open_latents",
    "open_verdicts",
    "write_cache",
]
