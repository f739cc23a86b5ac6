"""Conversations and their images as batches of tensors."""

import os.path
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from diva.errors import BadData, Invalid, Missing
from diva.images import UnusableError, read_image
from diva.progress import phase
from diva_downstream.llava.chat import Chat
from diva_downstream.llava.conversation import (
    SEPARATORS,
    Conversation,
    Piece,
    Template,
    pieces,
    read_conversations,
)
from diva_downstream.llava.encode import IGNORED, encode
from diva_downstream.llava.formats.families import cuts_images
from diva_downstream.llava.recipe import DataSection
from diva_downstream.llava.seen import Eye, Seen

Sample = dict[str, Any]
NARROWEST = (
    200  # long side over short; made square, or as wide as the tower's input, such an image fills the memory
)


class ConversationData(Dataset[Sample]):
    """One stage's conversations, each with its token numbers, labels and normalised images.

    Attributes:
        lengths: about how long each prompt is: its words, and its images' tokens.
        blank: a black image, for batches without any.
        left_out: a sentence on the records that are not used, empty where all are.
    """

    def __init__(self, section: DataSection, processor: Any, *, seed: int) -> None:
        """Open the conversation file.

        Args:
            processor: of any family's LLaVA.
            seed: of the order in which `shuffle_images` deals out the images.

        Raises:
            InputError: the file cannot be used, or no record of it, or `data.max_length` holds no image.
        """
        self._section, self._tokenizer = section, processor.tokenizer
        self._eye = Eye(processor, pad=section.pad)
        self.blank = self._eye.blank
        (image_tokens,) = self.blank.tokens
        if section.max_length <= image_tokens:
            raise Invalid(
                "data.max_length", f"{section.max_length} tokens hold no image of {image_tokens}; allow more"
            )
        self._pieces, separators = _prompts(section.template, processor)
        self._records, self.left_out = read_conversations(Path(section.conversations), section.template, separators)
        names = [record.images for record in self._records]
        self._images = dealt_out(names, seed) if section.shuffle_images else names
        self.lengths = [
            sum(len(turn.text.split()) for turn in record.turns) + image_tokens * len(record.images)
            for record in self._records
        ]

    @phase("looking for the images")
    def check_images(self) -> None:
        """Look for every image once, so that none is found missing in the midst of a run.

        Whether they can be decoded, a run finds out as it comes to them: reading them all would take hours.

        Raises:
            InputError: some are not there, are empty or are not files.
        """
        paths = [Path(self._section.images) / name for name in dict.fromkeys(chain(*self._images))]
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
        """Return `input_ids` and `labels` [L] int64, and where there are images what `Eye` makes of them.

        Raises:
            RunError: an image cannot be read.
        """
        record, seen = self._records[index], Seen({}, [])
        parts = self._pieces(record)
        images = [_open(Path(self._section.images) / name, record.name) for name in self._images[index]]
        while True:
            if images:
                seen = self._eye(images)
            encoded = encode(parts, self._tokenizer, image_tokens=seen.tokens, max_length=self._section.max_length)
            if encoded.images == len(images):
                break
            images, seen = images[: encoded.images], Seen({}, [])  # the others do not fit
        return {"input_ids": torch.tensor(encoded.input_ids), "labels": torch.tensor(encoded.labels), **seen.inputs}


class Collator:
    """Puts samples into a batch, padded on the right.

    A batch without any image gets a black one, read by tokens behind the end of its first prompt that nothing
    attends to: the projector is then part of every step on every process, as distributed training needs, and its
    gradient is zero.
    """

    def __init__(self, *, pad: int, image: int, blank: Seen) -> None:
        """Take the numbers of the padding and image tokens, and the black image."""
        self._pad, self._image, self._blank = pad, image, blank

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """Return `input_ids`, `labels`, `attention_mask` [B, L], and the images' inputs one behind the other."""
        ids = [sample["input_ids"] for sample in samples]
        masks = [torch.ones_like(numbers) for numbers in ids]
        seen: list[Mapping[str, Tensor]] = [sample for sample in samples if "pixel_values" in sample]
        if not seen:
            seen = [self._blank.inputs]
            ids[0] = torch.cat([ids[0], torch.full((sum(self._blank.tokens),), self._image)])
        labels = [sample["labels"] for sample in samples]
        padded = {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=self._pad),
            "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED),
            "attention_mask": pad_sequence(masks, batch_first=True),
        }
        length = padded["input_ids"].shape[1]
        for name, filler in (("labels", IGNORED), ("attention_mask", 0)):
            padded[name] = torch.nn.functional.pad(padded[name], (0, length - padded[name].shape[1]), value=filler)
        return padded | {name: torch.cat([each[name] for each in seen]) for name in self._blank.inputs}


def _prompts(template: Template, processor: Any) -> tuple[Callable[[Conversation], list[Piece]], Sequence[str]]:
    """Return what makes a prompt of a conversation, and what its texts may not hold."""
    tokenizer = processor.tokenizer
    if template == "chat":
        template_of, folder = str(processor.chat_template), tokenizer.name_or_path
        chat = Chat(tokenizer, template_of, folder, says_end=not cuts_images(processor))
        return chat.pieces, chat.special
    return partial(pieces, template=template, end=tokenizer.eos_token), SEPARATORS


def dealt_out(names: Sequence[tuple[str, ...]], seed: int) -> list[tuple[str, ...]]:
    """Give every record as many images of others as it has."""
    order = [place for place in torch.randperm(len(names), generator=_seeded(seed)).tolist() if names[place]]
    slots = [name for place in order for name in names[place]]
    shift = max((len(names[place]) for place in order), default=0)
    following = iter(slots[shift:] + slots[:shift])
    dealt = {place: tuple(next(following) for _ in names[place]) for place in order}
    return [dealt.get(place, ()) for place in range(len(names))]


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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
