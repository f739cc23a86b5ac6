"""Pairs of scenes that differ in one detail, as the image pairs of MMVP-VLM do."""

from typing import NamedTuple

import torch

from diva.miniworld.captions import statement
from diva.miniworld.scene import Scenes, draw, draw_jitter, other_values


class Pairs(NamedTuple):
    """n pairs of one pattern.

    Attributes:
        first, second: n scenes each; they differ in one attribute and in their jitter.
        statements: what is true of the first and of the second of each pair; goes after "a photo of ".
    """

    first: Scenes
    second: Scenes
    statements: list[tuple[str, str]]


def draw_pairs(attribute: int, count: int, random: torch.Generator) -> Pairs:
    """Draw `count` pairs that differ in the attribute at that index."""
    first = draw(count, random)
    second = first.with_detail(attribute, other_values(first, attribute, random))
    second = second._replace(jitter=draw_jitter(count, random))
    rows = zip(
        first.shape.tolist(),
        first.details[:, attribute].tolist(),
        second.details[:, attribute].tolist(),
        strict=True,
    )
    said = [(statement(shape, attribute, one), statement(shape, attribute, other)) for shape, one, other in rows]
    return Pairs(first, second, said)
