"""The evaluator: it keeps what each image contributes, from which every score and every interval follows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS

from diva.errors import Damaged, Mismatch
from diva_downstream.segmentation.areas import Counts, count_areas
from diva_downstream.segmentation.scores import scores_of


@dataclass(frozen=True)
class ImageCounts:
    """One image's contribution.

    Attributes:
        path: of the image.
        areas: [5, classes], as `count_areas` gives them.
    """

    path: Path
    areas: Counts


@METRICS.register_module()
class ImageAreas(BaseMetric):
    """mIoU, boundary mIoU, mAcc and aAcc in percent.

    Attributes:
        images: after an evaluation, on the first process, each image's contribution in the order of the data.
    """

    default_prefix = ""  # none: mmengine warns of a missing one

    def __init__(self, ignored: int = 255) -> None:
        """Leave pixels with the label `ignored` out."""
        super().__init__()
        self._ignored = ignored
        self.images: list[ImageCounts] = []

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Count the pixels of a batch of predictions.

        Raises:
            InputError: the model was built for another number of classes, or its predictions are not finite.
        """
        del data_batch
        classes = len(self.dataset_meta["classes"])
        for sample in data_samples:
            logits = sample["seg_logits"]["data"]
            predicted = len(logits)
            if not logits.isfinite().all():
                raise Damaged(
                    sample["img_path"], "predictions are not finite numbers; the tower or its head is damaged"
                )
            if predicted != classes:
                raise Mismatch(
                    "decode_head.num_classes",
                    f"the model predicts {predicted} classes, but the data set has {classes}; give both the same",
                )
            prediction, label = (
                sample[name]["data"].squeeze(0).cpu().numpy() for name in ("pred_sem_seg", "gt_sem_seg")
            )
            areas = count_areas(prediction, label, classes, self._ignored)
            self.results.append(ImageCounts(Path(sample["img_path"]), areas))

    def compute_metrics(self, results: list[ImageCounts]) -> dict[str, float]:
        """Return the scores of all images, and keep the images."""
        self.images = results
        scores = scores_of(np.sum([image.areas for image in results], axis=0))
        return {
            "mIoU": float(scores.mean_iou),
            "boundary_mIoU": float(scores.mean_boundary_iou),
            "mAcc": float(scores.mean_accuracy),
            "aAcc": float(scores.pixel_accuracy),
        }
