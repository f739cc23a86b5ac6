"""The linear probe: what can be read off the features without learning anything but a plane for each class."""

from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class LinearProbe(BaseDecodeHead):
    """Batch normalisation and a 1 × 1 convolution."""

    def __init__(self, in_channels: int, **options: Any) -> None:
        """Probe features of `in_channels` channels; `options` are those of mmseg's `BaseDecodeHead`."""
        super().__init__(in_channels, channels=in_channels, dropout_ratio=0, **options)
        self.norm = nn.BatchNorm2d(in_channels)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Classify feature maps [B, C, H, W] to [B, classes, H, W]."""
        return self.cls_seg(self.norm(self._transform_inputs(inputs)))
