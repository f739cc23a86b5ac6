"""From a prompt in parts to token numbers and labels."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from transformers import PreTrainedTokenizerBase

from diva_downstream.llava.conversation import IMAGE, Piece

IGNORED: Final = -100  # cross-entropy skips these labels


class Encoded(NamedTuple):
    """One conversation as numbers.

    Attributes:
        input_ids: with one number for every token that an image becomes.
        labels: the number itself where an answer stands, `IGNORED` elsewhere.
        images: how many of its images are in it.
    """

    input_ids: list[int]
    labels: list[int]
    images: int


def image_mark(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return `<image>` as prompts have it for `tokenizer`, with a space behind it where every text begins with one.

    LLaVA tokenizes what follows an image as a text of its own, and Llama's tokenizer begins each text with a space.
    """
    return f"{IMAGE} " if tokenizer.tokenize("a") == tokenizer.tokenize(" a") else IMAGE


def encode(
    parts: Sequence[Piece], tokenizer: PreTrainedTokenizerBase, *, image_tokens: Sequence[int], max_length: int
) -> Encoded:
    """Tokenize a prompt and mark what the loss is on: answers with the space before and the end after them.

    Args:
        tokenizer: a fast one, which knows `<image>`; its own first token, if it has one, is put in front.
        image_tokens: tokens that each image becomes; the prompt ends before an image that is not counted.
        max_length: longer prompts are cut at the end, after the image has been counted in full, as LLaVA does. One
            that would be cut within an image ends before it: LLaVA keeps that part of the image, to no effect.
    """
    text, answers, mark = "", [], image_mark(tokenizer)
    for part in parts:
        if part.trained:
            answers.append((len(text), len(text) + len(part.text)))
        text += part.text.replace(IMAGE, mark)
    image = tokenizer.convert_tokens_to_ids(IMAGE)
    encoded = tokenizer(text, return_offsets_mapping=True)
    ids: list[int] = []
    labels: list[int] = []
    images = 0
    for token, (_, end) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
        copies = 1
        if token == image:
            if images == len(image_tokens) or len(ids) + image_tokens[images] > max_length:
                break
            copies, images = image_tokens[images], images + 1
        # by its end: a caption's first token begins with the image's space, and one that covers no text ends at 0
        trained = any(first < end <= last for first, last in answers)
        ids += [token] * copies
        labels += [token if trained else IGNORED] * copies
    return Encoded(ids[:max_length], labels[:max_length], images)
