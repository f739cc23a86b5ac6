"""The caption grammar: full descriptions, alt texts that leave most of it out, statements and questions.

A full caption reads "a red solid unlit star facing west wearing a hat in a meadow a crate on the left one pebble
a sign reading x viewed overhead"; an alt text keeps each detail with a modest probability.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diva.miniworld.scene import Scenes
from diva.miniworld.vocabulary import ATTRIBUTES, PLACES, SHAPES

NOUN_ORDER = ("colour", "structure", "state")
AFTER_ORDER = ("orientation", "presence")  # close to the noun; the rest follow the place in their own order


class Exchange(NamedTuple):
    """A question about a scene, its answer, and the wrong answers that a multiple choice offers with it."""

    attribute: str
    question: str
    answer: str
    wrong: tuple[str, ...]


def full_captions(scenes: Scenes) -> list[str]:
    """Describe each scene completely, in one fixed order of words."""
    everything = torch.ones_like(scenes.details, dtype=torch.bool)
    return _write(scenes, everything, everything[:, 0])


def alt_texts(scenes: Scenes, probabilities: Sequence[float], place: float, random: torch.Generator) -> list[str]:
    """Describe each scene the way alt texts do: always the shape, the rest by chance.

    Args:
        scenes: what to describe.
        probabilities: of mentioning each of `ATTRIBUTES`.
        place: probability of mentioning the place.
        random: decides what is mentioned.
    """
    chance = torch.rand(scenes.details.shape, generator=random)
    mentioned = chance < torch.tensor(probabilities)
    return _write(scenes, mentioned, torch.rand(scenes.number, generator=random) < place)


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


def _write(scenes: Scenes, mentioned: Tensor, with_place: Tensor) -> list[str]:
    rows = zip(
        scenes.shape.tolist(),
        scenes.place.tolist(),
        scenes.details.tolist(),
        mentioned.tolist(),
        with_place.tolist(),
        strict=True,
    )
    return [_sentence(*row) for row in rows]


def _sentence(shape: int, place: int, details: list[int], mentioned: list[bool], with_place: bool) -> str:
    said = {
        attribute.name: attribute.phrases[value]
        for attribute, value, kept in zip(ATTRIBUTES, details, mentioned, strict=True)
        if kept
    }
    words = ["a", *(said.pop(name) for name in NOUN_ORDER if name in said), SHAPES[shape]]
    words += [said.pop(name) for name in AFTER_ORDER if name in said]
    if with_place:
        words.append(f"in a {PLACES[place]}")
    return " ".join([*words, *said.values()])
