"""Open-vocabulary segmentation without training: each patch takes the class whose name it resembles most."""

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor
from torch.nn.functional import normalize

from diva.towers import Clip
from diva_downstream.segmentation.backbone import loaded_clip
from diva_downstream.segmentation.class_text import class_embeddings


@MODELS.register_module()
class NearestClassName(BaseDecodeHead):
    """Cosine similarity of patch tokens in the joint space with the class names; it has no weights."""

    def __init__(
        self,
        tower: str | Clip,
        classes: Sequence[str],
        checkpoint: str | None = None,
        templates: str = "imagenet",
        **options: Any,
    ) -> None:
        """Encode the class names with the text encoder of the tower, which is not kept.

        Args:
            tower, checkpoint: as for `DivaTower`.
            classes: names, in the order of the labels.
            templates: as for `class_embeddings`.
            options: those of mmseg's `BaseDecodeHead`.

        Raises:
            InputError: the tower cannot be loaded or has no text encoder.
        """
        embeddings = class_embeddings(loaded_clip(tower, checkpoint), classes, templates)
        width = embeddings.shape[1]
        super().__init__(width, channels=width, num_classes=len(classes), dropout_ratio=0, init_cfg=None, **options)
        del self.conv_seg
        self.register_buffer("embeddings", embeddings, persistent=False)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Compare patch tokens [B, D, H, W] with the names: similarities [B, classes, H, W]."""
        tokens = normalize(self._transform_inputs(inputs), dim=1)
        return torch.einsum("bdhw,cd->bchw", tokens, self.get_buffer("embeddings"))
