"""Reading label maps: the sizes that uint8 does not hold, and labels that no class has."""

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS
from PIL import Image

from diva.errors import InputError

WIDE_IGNORED = 65535


@TRANSFORMS.register_module()
class LoadWideAnnotations(BaseTransform):
    """Load label maps of 16 bits, for sets of more than 255 classes; mmseg's own loading cuts them to 8 bits."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add `gt_seg_map` [H, W] int64; 65535 is to be ignored."""
        with Image.open(results["seg_map_path"]) as image:
            results["gt_seg_map"] = np.array(image).astype(np.int64)
        results["seg_fields"].append("gt_seg_map")
        return results


@TRANSFORMS.register_module()
class CheckLabels(BaseTransform):
    """Stops at a label map that has a label of no class."""

    def __init__(self, classes: int, ignored: int = 255) -> None:
        """Let labels 0 to `classes` - 1 and `ignored` pass."""
        self._classes, self._ignored = classes, ignored

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return `results` as they are.

        Raises:
            InputError: `gt_seg_map` has another label; the sentence names the file and the label in it.
        """
        labels = results["gt_seg_map"]
        wrong = labels[(labels >= self._classes) & (labels != self._ignored)]
        if wrong.size:
            label = int(wrong.max()) + bool(results["reduce_zero_label"])
            raise InputError(
                f"{results['seg_map_path']}: has label {label}, but there are {self._classes} classes; name the set"
                " that it belongs to with --dataset, or make the label maps again"
            )
        return results
