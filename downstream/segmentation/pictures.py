"""A sheet of the images on which two towers differ most: image, truth, before, after."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from diva.atomic import replacing
from diva_downstream.segmentation.evaluation import Evaluation
from diva_downstream.segmentation.labels import read_picture

COLUMNS = ("image", "truth", "before", "after")
SIDE = 2.2  # of a picture, in inches


def draw_differences(evaluation: Evaluation, baseline: Evaluation, path: Path, *, rows: int = 6) -> None:
    """Draw the images whose IoU differs most, one a row, the largest gain first and the largest loss last.

    Raises:
        RunError: `path` cannot be written to.
    """
    ours, theirs = evaluation.result, baseline.result
    gains = np.array([a.outcome - b.outcome for a, b in zip(ours.items, theirs.items, strict=True)])
    most = sorted(np.argsort(-abs(gains), kind="stable")[:rows].tolist(), key=lambda item: -gains[item])
    meta = evaluation.runner.test_dataloader.dataset.metainfo
    palette = np.array(meta["palette"], np.uint8)
    figure = Figure(figsize=(SIDE * len(COLUMNS), (SIDE + 0.3) * len(most) + 0.8), layout="constrained")
    axes = figure.subplots(len(most), len(COLUMNS), squeeze=False)
    shown: set[int] = set()
    for row, item in zip(axes, most, strict=True):
        sample = evaluation.runner.test_dataloader.dataset[evaluation.places[item]]["data_samples"]
        truth = sample.gt_sem_seg.data.squeeze(0).numpy()
        maps = (truth, baseline.predict(item), evaluation.predict(item))
        shown.update(*(np.unique(each).tolist() for each in maps))
        row[0].imshow(read_picture(Path(sample.img_path)))
        for axis, labels in zip(row[1:], maps, strict=True):
            axis.imshow(_coloured(labels, palette))
        row[0].set_ylabel(ours.items[item].id, fontsize=6)
        for axis, outcome in ((row[2], theirs.items[item].outcome), (row[3], ours.items[item].outcome)):
            axis.set_xlabel(f"IoU {100 * outcome:.0f} %", fontsize=7)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    for axis, title in zip(axes[0], COLUMNS, strict=True):
        axis.set_title(title, fontsize=9)
    named = [
        Patch(color=palette[label] / 255, label=meta["classes"][label])
        for label in sorted(shown)
        if label < len(palette)
    ]
    figure.legend(handles=named, loc="outside lower center", ncols=6, fontsize=6)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100, metadata={"Software": ""})


def _coloured(labels: NDArray[np.integer], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return [H, W, 3]; labels of no class are white."""
    known = labels < len(palette)
    return np.where(known[..., None], palette[np.where(known, labels, 0)], np.uint8(255)).astype(np.uint8)
