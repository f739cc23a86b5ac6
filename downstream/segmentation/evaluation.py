"""Measuring one tower with a head on it, and comparing two image by image."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from numpy.typing import NDArray

from diva.errors import Mismatch
from diva.evaluation.comparison import compare
from diva.evaluation.statistics import mean_interval, swap_test
from diva.results import Clock, DataSource, Item, Metric, Result
from diva.towers import Clip
from diva.towers.checkpoint import read_state_dict
from diva_benchmarks.fingerprint import fingerprint
from diva_benchmarks.subject import subject_of
from diva_downstream.segmentation.areas import Area, Counts
from diva_downstream.segmentation.build_config import build_config
from diva_downstream.segmentation.datasets import Located
from diva_downstream.segmentation.head_record import HeadRecord
from diva_downstream.segmentation.metric import ImageAreas, ImageCounts
from diva_downstream.segmentation.scores import Scores, interval, resampled_scores, scores_of
from diva_downstream.segmentation.training import build_runner

TASK = "segmentation"
MEAN_IOU = "mIoU"
IMAGE_IOU = "image_IoU"
PER_CLASS = "IoU/"
NAMES = {
    MEAN_IOU: "mean_iou",
    "boundary_mIoU": "mean_boundary_iou",
    "mAcc": "mean_accuracy",
    "aAcc": "pixel_accuracy",
}


@dataclass(eq=False)
class Evaluation:
    """One measurement, with what is needed to compare it and to draw its predictions.

    Attributes:
        result: for the result file.
        areas: pixels that were counted, [images, 5, classes].
        samples: scores of bootstrap samples of the images.
        runner: mmengine's, with the model and the data.
        places: of the items' images in the data set.
    """

    result: Result
    areas: Counts
    samples: Scores
    runner: Runner
    places: list[int]

    @torch.no_grad()
    def predict(self, item: int) -> NDArray[np.integer]:
        """Return the label map [H, W] that is predicted for the image of item `item`."""
        batch = pseudo_collate([self.runner.test_dataloader.dataset[self.places[item]]])
        (sample,) = self.runner.model.test_step(batch)
        return sample.pred_sem_seg.data.squeeze(0).cpu().numpy()


def evaluate(
    record: HeadRecord, clip: Clip, data: Located, checkpoint: Path | None, *, folder: Path, workers: int
) -> Evaluation:
    """Measure `clip` with the head of `record` on the test split of `data`.

    Args:
        checkpoint: of the head's training; None for a head without any.
        folder: for mmengine's logs.
        workers: processes that load data.

    Returns:
        Items are images (outcome: the mean IoU of the classes in it; details: its pixels of each class). mIoU is
        not their mean: it is the mean over classes of the data set's summed intersections and unions. Intervals
        are percentiles over bootstrap samples of the images.

    Raises:
        InputError: a label map is missing or has a label of no class, or the checkpoint is of another head.
    """
    files = data.files("test")
    config = build_config(record, clip, data, training=False, workers=workers)
    runner = build_runner(config, clip, folder)
    clock = Clock([record.seed], str(next(runner.model.parameters(), torch.empty(0)).device))
    if checkpoint:
        _load(runner, checkpoint)
    runner.test()
    (metric,) = runner.test_evaluator.metrics
    assert isinstance(metric, ImageAreas)
    areas = np.stack([image.areas for image in metric.images])
    samples = resampled_scores(areas)
    places = [place for place, each in enumerate(areas) if each[Area.LABEL].any()]
    items = [_item(metric.images[place], data) for place in places]
    result = Result(
        task=TASK,
        part=data.name,
        headline=MEAN_IOU,
        settings=record.settings,
        subject=subject_of(clip),
        data=DataSource(
            name=data.name,
            path=str(data.root),
            fingerprint=fingerprint(data.root, files, None),
            items=len(items),
        ),
        metrics=_metrics(areas, samples, items, data.classes),
        items=items,
        run=clock.stop(),
    )
    return Evaluation(result, areas, samples, runner, places)


def add_baseline(evaluation: Evaluation, baseline: Evaluation) -> None:
    """Put `baseline` beside `evaluation`: the differences in mIoU, over the images' pixels, and in the images' IoU.

    The interval of mIoU's difference is that of paired bootstrap samples of the images; its test swaps images
    between the two. Images are won and lost by their own IoU.

    Raises:
        InputError: the two were not measured alike.
    """
    ours, theirs = evaluation.result, baseline.result
    by_image = compare(ours, theirs, IMAGE_IOU)
    over_pixels = by_image.model_copy(
        update={
            "metric": MEAN_IOU,
            "difference": ours.metrics[MEAN_IOU].value - theirs.metrics[MEAN_IOU].value,
            "interval": interval(evaluation.samples.mean_iou - baseline.samples.mean_iou),
            "test": "swap test",
            "p_value": swap_test(evaluation.areas, baseline.areas, lambda sums: scores_of(sums).mean_iou),
        }
    )
    ours.baseline = theirs
    ours.comparisons = [over_pixels, by_image]


def _load(runner: Runner, checkpoint: Path) -> None:
    try:
        runner.model.load_state_dict(read_state_dict(checkpoint))
    except RuntimeError as error:
        raise Mismatch(
            checkpoint, f"does not belong to this head ({str(error).splitlines()[-1].strip()})"
        ) from error


def _item(image: ImageCounts, data: Located) -> Item:
    path = image.path.relative_to(data.root).as_posix()
    present = np.flatnonzero(image.areas[Area.UNION])

    details: dict[str, float | str | list[int]] = {"image": path, "classes": present.tolist()}
    for row in Area:
        details[row.name.lower()] = image.areas[row, present].tolist()
    return Item(
        id=image.path.stem, group="images", outcome=float(scores_of(image.areas).mean_iou) / 100, details=details
    )


def _metrics(areas: Counts, samples: Scores, items: list[Item], classes: tuple[str, ...]) -> dict[str, Metric]:
    scores = scores_of(areas.sum(0))
    metrics = {
        name: Metric(
            value=float(getattr(scores, field)),
            unit="percent",
            n=len(items),
            interval=interval(getattr(samples, field)),
        )
        for name, field in NAMES.items()
    }
    outcomes = np.array([item.outcome for item in items])
    low, high = mean_interval(outcomes)
    metrics[IMAGE_IOU] = Metric(
        value=100 * float(outcomes.mean()), unit="percent", n=len(items), interval=(100 * low, 100 * high)
    )
    for index, name in enumerate(classes):
        if np.isfinite(scores.iou[index]):
            metrics[PER_CLASS + name] = Metric(
                value=float(scores.iou[index]),
                unit="percent",
                n=int(np.count_nonzero(areas[:, Area.UNION, index])),
                interval=interval(samples.iou[:, index]),
                breakdown="class",
            )
    return metrics
