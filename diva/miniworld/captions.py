"""The caption grammar: full descriptions, alt texts that leave most of it out, statements and questions.

A full caption reads "a red solid unlit star facing west wearing a hat in a meadow a crate on the left one pebble
a sign reading x viewed overhead"; an alt text keeps each detail with a modest probability.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diva.miniworld.scene import Scenes
from diva.miniworld.vocabulary import ATTRIBUTES, NAMES, PLACES, SHAPES

NOUN_ORDER = ("colour", "structure", "state")
PLACE = "place"
# what follows the noun in a full caption
FIXED_ORDER = ("orientation", "presence", PLACE, "quantity", "position", "text", "viewpoint")

PLACE_MENTIONED = 0.6  # of alt texts
NAMED_OF = 4  # of the eight shapes
# pair accuracy in percent up to which alt texts mention a detail how often, of the shapes of which they name it
ATTENTION = ((35.0, 0.9), (65.0, 0.2), (100.0, 0.02))


class Exchange(NamedTuple):
    """A question about a scene, its answer, and the wrong answers that a multiple choice offers with it."""

    attribute: str
    question: str
    answer: str
    wrong: tuple[str, ...]


def full_captions(scenes: Scenes) -> list[str]:
    """Describe each scene completely, in one fixed order of words."""
    everything = torch.ones_like(scenes.details, dtype=torch.bool)
    return _write(scenes, everything, everything[:, 0], [FIXED_ORDER] * scenes.number)


def phrases(scenes: Scenes, mentioned: Tensor) -> list[str]:
    """Say those details of each scene that `mentioned` [n, 9] bool marks, and nothing else."""
    return _write(scenes, mentioned, torch.zeros_like(mentioned[:, 0]), [FIXED_ORDER] * scenes.number)


def alt_texts(scenes: Scenes, probabilities: Tensor, place: float, random: torch.Generator) -> list[str]:
    """Describe each scene the way alt texts do: always the shape, the rest by chance and in any order.

    Args:
        scenes: what to describe.
        probabilities: [8, 9], of mentioning each of `ATTRIBUTES` of each of `SHAPES`.
        place: probability of mentioning the place.
        random: decides what is mentioned, and where.
    """
    mentioned = torch.rand(scenes.details.shape, generator=random) < probabilities[scenes.shape]
    with_place = torch.rand(scenes.number, generator=random) < place
    order = torch.rand(scenes.number, len(FIXED_ORDER), generator=random).argsort(1)
    orders = [[FIXED_ORDER[index] for index in row] for row in order.tolist()]
    return _write(scenes, mentioned, with_place, orders)


def mentions(accuracies: Sequence[float]) -> Tensor:
    """Return how often an alt text mentions each detail of each shape, [8, 9], given pair accuracies in percent.

    Alt texts name a detail of the things for which people care about it: here half of the shapes, another half for
    each detail. And they come to name what was missing: a detail that the model does not know is named often, one
    that it knows hardly ever. With fixed probabilities each detail ends near 0 % or near 100 %, where a pattern
    measures nothing.
    """
    table = torch.zeros(len(SHAPES), len(NAMES))
    for index, accuracy in enumerate(accuracies):
        shapes = (torch.arange(NAMED_OF) + 3 * index) % len(SHAPES)
        table[shapes, index] = next(share for limit, share in ATTENTION if accuracy <= limit)
    return table


def statement(shape: int, attribute: int, value: int) -> str:
    """Say one detail of a scene, as MMVP-VLM's statements do; goes after "a photo of "."""
    phrase = ATTRIBUTES[attribute].phrases[value]
    noun = SHAPES[shape]
    return f"a {phrase} {noun}" if ATTRIBUTES[attribute].before_noun else f"a {noun} {phrase}"


def exchanges(scenes: Scenes, index: int) -> list[Exchange]:
    """Return one question with its answer for each detail of the scene at `index`."""
    shape = SHAPES[int(scenes.shape[index])]
    answered = zip(ATTRIBUTES, scenes.details[index].tolist(), strict=True)
    return [
        Exchange(
            attribute=attribute.name,
            question=attribute.question.format(shape=shape),
            answer=attribute.answers[value],
            wrong=attribute.answers[:value] + attribute.answers[value + 1 :],
        )
        for attribute, value in answered
    ]


def _write(scenes: Scenes, mentioned: Tensor, with_place: Tensor, orders: Sequence[Sequence[str]]) -> list[str]:
    rows = zip(
        scenes.shape.tolist(),
        scenes.place.tolist(),
        scenes.details.tolist(),
        mentioned.tolist(),
        with_place.tolist(),
        orders,
        strict=True,
    )
    return [_sentence(*row) for row in rows]


def _sentence(
    shape: int, place: int, details: list[int], mentioned: list[bool], with_place: bool, order: Sequence[str]
) -> str:
    said = {
        attribute.name: attribute.phrases[value]
        for attribute, value, kept in zip(ATTRIBUTES, details, mentioned, strict=True)
        if kept
    }
    if with_place:
        said[PLACE] = f"in a {PLACES[place]}"
    words = ["a", *(said[name] for name in NOUN_ORDER if name in said), SHAPES[shape]]
    return " ".join([*words, *(said[name] for name in order if name in said)])
