"""What a tower wants to see: size, colour statistics, interpolation and resize mode, as one value."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F


@dataclass(frozen=True, kw_only=True)
class TowerInput:
    """The preprocessing that belongs to one tower's weights.

    Attributes:
        size: (height, width) in pixels.
        mean, std: of each RGB channel in the 0..1 range.
        interpolation: "bicubic" or "bilinear".
        resize_mode: "shortest" (cover the size, crop the centre), "longest" (fit into the size, pad with black) or
            "squash" (resize both sides).
        antialias: whether resizing a tensor low-passes it first, as PIL does.
    """

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    resize_mode: str
    antialias: bool = True

    @classmethod
    def of(cls, model: torch.nn.Module) -> Self:
        """Return the preprocessing that open_clip holds for `model`."""
        cfg: dict[str, Any] = open_clip.get_model_preprocess_cfg(model)
        size = cfg["size"]
        return cls(
            size=(size, size) if isinstance(size, int) else (int(size[0]), int(size[1])),
            mean=tuple(cfg["mean"]),
            std=tuple(cfg["std"]),
            interpolation=cfg["interpolation"],
            resize_mode=cfg["resize_mode"],
        )

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def open_clip_fields(self) -> dict[str, Any]:
        """Return the fields of open_clip's `preprocess_cfg`."""
        return {key: value for key, value in asdict(self).items() if key != "antialias"}

    def image_transform(self) -> Callable[[Image.Image], Tensor]:
        """Return open_clip's own evaluation transform: PIL image → normalised [3, H, W] float32."""
        return image_transform_v2(PreprocessCfg(**self.open_clip_fields()), is_train=False)

    def from_rgb(self, rgb: Tensor) -> Tensor:
        """Resize square `rgb` [B, 3, S, S] in 0..1 to the tower's size and normalise it; float32."""
        # torchvision would make tensors of the statistics, for which a GPU's host waits at every call
        channels = zip(self.resize(rgb).unbind(1), self.mean, self.std, strict=True)
        return torch.stack([(channel - mean) / std for channel, mean, std in channels], dim=1)

    def resize(self, rgb: Tensor) -> Tensor:
        """Resize square `rgb` [B, 3, S, S] in 0..1 to the tower's size; what has that size already is kept.

        The mode plays a part for a tower of rectangles alone.
        """
        kind = InterpolationMode(self.interpolation)
        size, oblong = list(self.size), self.size[0] != self.size[1]
        if oblong and self.resize_mode == "shortest":
            kind = InterpolationMode.BICUBIC  # which open_clip takes here whatever it is asked for
        if oblong and self.resize_mode != "squash":
            size = [max(size) if self.resize_mode == "shortest" else min(size)] * 2
        resized = F.resize(rgb, size, interpolation=kind, antialias=self.antialias)
        # bicubic overshoots at edges; PIL clips there too
        resized = resized.clamp(0, 1) if kind is InterpolationMode.BICUBIC else resized
        return F.center_crop(resized, list(self.size)) if oblong else resized
