"""A batch of scenes as numbers, drawn from a seed."""

from typing import NamedTuple, Self

import torch
from torch import Tensor

from diva.miniworld.vocabulary import ATTRIBUTES, PLACES, SHAPES

JITTERS = 9  # numbers by which two pictures of one description differ; `render` says what each one moves


class Scenes(NamedTuple):
    """B scenes: all that a caption can say of them, and the jitter that no caption mentions.

    Attributes:
        shape: [B] int64, index into `SHAPES`.
        place: [B] int64, index into `PLACES`.
        details: [B, 9] int64, the value of each of `ATTRIBUTES`.
        jitter: [B, JITTERS] float32 in −1..1.
    """

    shape: Tensor
    place: Tensor
    details: Tensor
    jitter: Tensor

    @property
    def number(self) -> int:
        """The number of scenes B."""
        return len(self.shape)

    def take(self, index: Tensor | slice) -> Self:
        """Return the scenes at `index`."""
        return type(self)(*(field[index] for field in self))

    def to(self, device: torch.device) -> Self:
        """Return the same scenes on `device`."""
        return type(self)(*(field.to(device) for field in self))

    def with_detail(self, attribute: int, values: Tensor) -> Self:
        """Return the scenes with the attribute at that index set to `values` [B]."""
        details = self.details.clone()
        details[:, attribute] = values
        return self._replace(details=details)


def generator(*key: int) -> torch.Generator:
    """Return a CPU generator for a purpose: equal keys give equal streams, other keys unrelated ones."""
    seed = 0
    for part in key:
        seed = (seed * 1_000_003 + part + 1) % (2**63 - 1)
    return torch.Generator().manual_seed(seed)


def draw(count: int, random: torch.Generator) -> Scenes:
    """Draw `count` scenes; every shape, place and value is equally likely and independent of the others."""

    def choose(values: int) -> Tensor:
        return torch.randint(values, (count,), generator=random)

    return Scenes(
        shape=choose(len(SHAPES)),
        place=choose(len(PLACES)),
        details=torch.stack([choose(attribute.values) for attribute in ATTRIBUTES], 1),
        jitter=draw_jitter(count, random),
    )


def draw_jitter(count: int, random: torch.Generator) -> Tensor:
    """Draw the jitter [count, JITTERS] of as many pictures."""
    return torch.rand(count, JITTERS, generator=random) * 2 - 1


def other_values(scenes: Scenes, attribute: int, random: torch.Generator) -> Tensor:
    """Draw a wrong value [B] of an attribute for each scene, all wrong values equally likely."""
    values = ATTRIBUTES[attribute].values
    step = torch.randint(1, values, (scenes.number,), generator=random)
    return (scenes.details[:, attribute] + step) % values
