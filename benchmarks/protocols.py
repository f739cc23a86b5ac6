"""Which image feature the statements are compared with, by name.

The published gains mix two changes: that of the tower, and that of the feature it is read by. `pooled` is the
tower's own embedding, the same before and after. The `diva-*` protocols are what DIVA's released evaluation does
for its towers; its figures for SigLIP and for DFN at 224 px are `pooled` already. Two of them draw patches at
random, so one figure of theirs is one draw of many.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from diva.errors import Unknown, did_you_mean
from diva.towers import TowerTokens

OPENAI_DRAWN = 76  # with the class token, the 77 positions of the teacher's prompt


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How tokens become an image feature.

    Attributes:
        features: tokens of B images, CPU generator → [B, D], compared with L2-normalised texts as they are.
        random: whether patches are drawn.
        redrawn_per_text: whether the patches are drawn again for the second statement of a pair.
    """

    name: str
    features: Callable[[TowerTokens, Generator], Tensor]
    random: bool = False
    redrawn_per_text: bool = False


def find_protocol(name: str) -> Protocol:
    """Return the protocol called `name`.

    Raises:
        InputError: there is none of that name.
    """
    if name not in PROTOCOLS:
        raise Unknown("--protocol", f"'{name}' is unknown; {did_you_mean(name, PROTOCOLS)}")
    return PROTOCOLS[name]


def pooled(tokens: TowerTokens, _: Generator) -> Tensor:
    """Return the tower's embedding, L2-normalised: MMVP's own protocol."""
    return F.normalize(tokens.pooled, dim=-1)


def diva_openai(tokens: TowerTokens, generator: Generator) -> Tensor:
    """Return the pooled token plus the mean of 76 drawn patches, then L2-normalised."""
    return F.normalize(tokens.pooled + _draw(tokens.patches, OPENAI_DRAWN, generator).mean(1), dim=-1)


def diva_metaclip(tokens: TowerTokens, _: Generator) -> Tensor:
    """Normalise every token, add the mean of all patches to the pooled token, and normalise the sum."""
    patches = F.normalize(tokens.patches, dim=-1)
    return F.normalize(F.normalize(tokens.pooled, dim=-1) + patches.mean(1), dim=-1)


def diva_dfn_378(tokens: TowerTokens, generator: Generator) -> Tensor:
    """Normalise every token, and add the mean of half as many drawn patches as there are (364 of 729).

    The sum is not normalised, as released: an image whose tokens agree has a longer feature and is favoured.
    """
    patches = F.normalize(tokens.patches, dim=-1)
    drawn = _draw(patches, patches.shape[1] // 2, generator)
    return F.normalize(tokens.pooled, dim=-1) + drawn.mean(1)


def _draw(patches: Tensor, count: int, generator: Generator) -> Tensor:
    # with replacement, apart for each image; drawn on the CPU so that every device sees the same patches
    chosen = torch.randint(patches.shape[1], (patches.shape[0], count, 1), generator=generator)
    return patches.take_along_dim(chosen.to(patches.device), dim=1)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(name="pooled", features=pooled),
        Protocol(name="diva-openai", features=diva_openai, random=True, redrawn_per_text=True),
        Protocol(name="diva-metaclip", features=diva_metaclip),
        Protocol(name="diva-dfn-378", features=diva_dfn_378, random=True),
    )
}
