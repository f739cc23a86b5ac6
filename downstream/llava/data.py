"""Conversations and their images as batches of tensors."""

import os.path
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from transformers import LlavaProcessor

from diva.errors import BadData, Invalid, Missing
from diva.images import UnusableError, read_image
from diva.progress import phase
from diva_downstream.llava.chat import Chat
from diva_downstream.llava.conversation import (
    IMAGE,
    SEPARATORS,
    Conversation,
    Piece,
    Template,
    pieces,
    read_conversations,
)
from diva_downstream.llava.encode import IGNORED, encode
from diva_downstream.llava.recipe import DataSection

Sample = dict[str, Any]
NARROWEST = (
    200  # long side over short; made square, or as wide as the tower's input, such an image fills the memory
)


class ConversationData(Dataset[Sample]):
    """One stage's conversations, each with its token numbers, labels and normalised image.

    Attributes:
        lengths: about how long each prompt is: its words, and its image's tokens.
        left_out: a sentence on the records that are not used, empty where all are.
    """

    def __init__(self, section: DataSection, processor: LlavaProcessor, *, image_tokens: int, seed: int) -> None:
        """Open the conversation file.

        Args:
            image_tokens: tokens that an image becomes.
            seed: of the order in which `shuffle_images` deals out the images.

        Raises:
            InputError: the file cannot be used, or no record of it, or `data.max_length` holds no image.
        """
        self._section, self._processor, self._image_tokens = section, processor, image_tokens
        self._image = processor.tokenizer.convert_tokens_to_ids(IMAGE)
        if section.max_length <= image_tokens:
            raise Invalid(
                "data.max_length", f"{section.max_length} tokens hold no image of {image_tokens}; allow more"
            )
        self._pieces, separators = _prompts(section.template, processor)
        self._records, self.left_out = read_conversations(Path(section.conversations), section.template, separators)
        names = [(index, record.image) for index, record in enumerate(self._records) if record.image is not None]
        self._images = dict(_dealt(names, seed) if section.shuffle_images else names)
        self.lengths = [
            sum(len(turn.text.split()) for turn in record.turns) + (image_tokens if index in self._images else 0)
            for index, record in enumerate(self._records)
        ]

    @phase("looking for the images")
    def check_images(self) -> None:
        """Look for every image once, so that none is found missing in the midst of a run.

        Whether they can be decoded, a run finds out as it comes to them: reading them all would take hours.

        Raises:
            InputError: some are not there, are empty or are not files.
        """
        paths = [Path(self._section.images) / name for name in dict.fromkeys(self._images.values())]
        # not Path.is_file, which raises where a name is too long for the system
        missing = [path for path in paths if not (os.path.isfile(path) and os.path.getsize(path))]
        if missing:
            raise Missing(
                missing[0],
                f"no such image, or it is empty ({len(missing)} of {len(paths)} are); data.images"
                " names the folder that the records' paths start from",
            )

    def __len__(self) -> int:
        """Return the number of conversations."""
        return len(self._records)

    def __getitem__(self, index: int) -> Sample:
        """Return `input_ids` and `labels` [L] int64, and `pixel_values` [3, H, W] where there is an image.

        Raises:
            RunError: the image cannot be read.
        """
        record, tokenizer = self._records[index], self._processor.tokenizer
        encoded = encode(
            self._pieces(record),
            tokenizer,
            image_tokens=self._image_tokens,
            max_length=self._section.max_length,
        )
        sample: Sample = {name: torch.tensor(values) for name, values in encoded._asdict().items()}
        if index in self._images and self._image in encoded.input_ids:  # it may be cut off
            image = _open(Path(self._section.images) / self._images[index], record.name)
            prepared = self._processor.image_processor(image, do_pad=self._section.pad, return_tensors="pt")
            sample["pixel_values"] = prepared.pixel_values[0]
        return sample


class Collator:
    """Puts samples into a batch, padded on the right.

    A batch without any image gets a black one, read by tokens behind the end of its first prompt that nothing
    attends to: the projector is then part of every step on every process, as distributed training needs, and its
    gradient is zero.
    """

    def __init__(self, *, pad: int, image: int, image_tokens: int, side: int) -> None:
        """Take the numbers of the padding and image tokens, and the size of an image in tokens and pixels."""
        self._pad, self._image, self._image_tokens, self._side = pad, image, image_tokens, side

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """Return `input_ids`, `labels`, `attention_mask` [B, L] and `pixel_values` [images, 3, H, W]."""
        ids = [sample["input_ids"] for sample in samples]
        masks = [torch.ones_like(numbers) for numbers in ids]
        pixels = [sample["pixel_values"] for sample in samples if "pixel_values" in sample]
        if not pixels:
            pixels = [torch.zeros(3, self._side, self._side)]
            ids[0] = torch.cat([ids[0], torch.full((self._image_tokens,), self._image)])
        labels = [sample["labels"] for sample in samples]
        padded = {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=self._pad),
            "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED),
            "attention_mask": pad_sequence(masks, batch_first=True),
        }
        length = padded["input_ids"].shape[1]
        for name, filler in (("labels", IGNORED), ("attention_mask", 0)):
            padded[name] = torch.nn.functional.pad(padded[name], (0, length - padded[name].shape[1]), value=filler)
        return padded | {"pixel_values": torch.stack(pixels)}


def _prompts(
    template: Template, processor: LlavaProcessor
) -> tuple[Callable[[Conversation], list[Piece]], Sequence[str]]:
    """Return what makes a prompt of a conversation, and what its texts may not hold."""
    tokenizer = processor.tokenizer
    if template == "chat":
        chat = Chat(tokenizer, str(processor.chat_template), tokenizer.name_or_path)
        return chat.pieces, chat.special
    return partial(pieces, template=template, end=tokenizer.eos_token), SEPARATORS


def _dealt(names: Sequence[tuple[int, str]], seed: int) -> list[tuple[int, str]]:
    """Give every record the image of another one."""
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    following = order[1:] + order[:1]
    return [(names[here][0], names[there][1]) for here, there in zip(order, following, strict=True)]


def _open(path: Path, record: str) -> Image.Image:
    try:
        image = read_image(path)
    except UnusableError as error:
        raise BadData(path, f"the image of record '{record}' cannot be read ({error}); fetch it again") from error
    if max(image.size) > NARROWEST * min(image.size):
        raise BadData(
            path,
            f"the image of record '{record}' has {image.width} × {image.height} pixels and is too narrow to"
            " resize; leave the record out",
        )
    return image.convert("RGB")
