"""Reading pictures and label maps: only formats that we know, whole, and only labels that a class has."""

from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS
from PIL import Image, ImageOps

from diva.errors import Damaged, Invalid
from diva.images import UnusableError, read_image

MODES = ("1", "L", "P", "I", "I;16", "I;16B")  # of PIL: one number a pixel


def read_picture(path: Path) -> Image.Image:
    """Return the picture in `path` as RGB, turned upright where it says so, as OpenCV turns it for mmseg.

    Raises:
        InputError: it is damaged, or not a picture.
    """
    return ImageOps.exif_transpose(_read(path)).convert("RGB")


@TRANSFORMS.register_module()
class LoadPicture(BaseTransform):
    """Load a picture; mmseg's own `LoadImageFromFile` takes a picture that is cut short for whole."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add `img` [H, W, 3] uint8, blue first, and its shape.

        Raises:
            InputError: it is damaged, or not a picture.
        """
        pixels = np.ascontiguousarray(np.asarray(read_picture(Path(results["img_path"])))[..., ::-1])
        return results | {"img": pixels, "img_shape": pixels.shape[:2], "ori_shape": pixels.shape[:2]}


@TRANSFORMS.register_module()
class LoadLabels(BaseTransform):
    """Load a label map of 8 or 16 bits, and stop at a label of no class; mmseg's own loading cuts all to 8 bits."""

    def __init__(self, classes: int, ignored: int = 255) -> None:
        """Let labels 0 to `classes` - 1 and `ignored` pass."""
        self._classes, self._ignored = classes, ignored

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add `gt_seg_map` [H, W], in which label 0 is `ignored` and the others one less where the set says so.

        Raises:
            InputError: the map is damaged, not a label map, of another size than its picture, or has another label.
        """
        path = Path(results["seg_map_path"])
        image = _read(path)
        if image.mode not in MODES:
            raise Invalid(path, f"is a picture in colour (mode {image.mode}), not a label map; convert it again")
        labels = np.array(image).astype(np.int64)
        if labels.shape != results["ori_shape"]:
            (height, width), (rows, columns) = results["ori_shape"], labels.shape
            raise Invalid(
                path,
                f"has {columns} × {rows} pixels, but its picture {results['img_path']} has {width} ×"
                f" {height}; convert the label map again",
            )
        known = (labels >= 0) & (labels < self._classes + results["reduce_zero_label"])
        wrong = labels[~known & (labels != self._ignored)]
        if wrong.size:
            raise Invalid(
                path,
                f"has label {wrong.max()}, but there are {self._classes} classes; give its data set"
                " with --dataset, or convert the label maps again",
            )
        if results["reduce_zero_label"]:
            labels = np.where((labels == 0) | (labels == self._ignored), self._ignored, labels - 1)
        results["gt_seg_map"] = labels.astype(np.min_scalar_type(self._ignored))  # OpenCV resizes no wider integers
        results["seg_fields"].append("gt_seg_map")
        return results


def _read(path: Path) -> Image.Image:
    try:
        return read_image(path)
    except UnusableError as error:
        raise Damaged(path, f"cannot be used ({error}); fetch it again") from error
