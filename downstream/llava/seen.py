"""Images as a LLaVA's processor prepares them, and how many tokens each becomes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from diva_downstream.llava.conversation import IMAGE
from diva_downstream.llava.formats.families import cuts_images


class Seen(NamedTuple):
    """The images of one record.

    Attributes:
        inputs: of the model, by name: `pixel_values` [pieces, 3, H, W], one piece an image but with AnyRes; with
            AnyRes `image_sizes` [images, 2]; with LLaVA-OneVision `batch_num_images` [1].
        tokens: that each image becomes.
    """

    inputs: dict[str, Tensor]
    tokens: list[int]


class Eye:
    """Prepares images as the processor of transformers' does, and counts their tokens as it counts them.

    Attributes:
        blank: a black image, for a batch without any.
    """

    def __init__(self, processor: Any, *, pad: bool) -> None:
        """Take a processor.

        Args:
            pad: whether images are padded to a square; with AnyRes it would mean pieces of zeros, and is not done.
        """
        self._processor, self._pad = processor, pad and not cuts_images(processor)
        size = processor.image_processor.size
        side = int(size.get("shortest_edge") or size["height"])
        self.blank = self([Image.new("RGB", (side, side))])

    def __call__(self, images: Sequence[Image.Image]) -> Seen:
        """Return what the model is to see of one record's images, one at least."""
        found = self._processor.image_processor([list(images)], do_pad=self._pad)
        tokens = [self._processor.replace_image_token(found, number).count(IMAGE) for number in range(len(images))]
        pieces = [torch.from_numpy(np.asarray(each)) for each in found.pop("pixel_values")]
        inputs = {"pixel_values": torch.cat([each.reshape(-1, *each.shape[-3:]) for each in pieces])}
        return Seen(inputs | {name: torch.tensor(value) for name, value in found.items()}, tokens)
