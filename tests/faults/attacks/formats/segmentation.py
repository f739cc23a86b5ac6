"""What `diva seg` reads: data sets, lists of classes and of pictures, label maps, what a run has left."""

from pathlib import Path
from typing import Any

import torch

from diva.atomic import new_folder
from diva.miniworld.scene import draw, generator
from diva.miniworld.writers import write_ade20k, write_pascal_context
from diva.seal import SEAL
from diva.towers.checkpoint import read_state_dict
from diva_downstream.segmentation.checkpoints import CONTENT, checkpoint_of, newest_iterations
from diva_downstream.segmentation.datasets import locate
from diva_downstream.segmentation.head_record import HeadRecord, read_head_record
from diva_downstream.segmentation.labels import LoadLabels, LoadPicture
from tests.faults.attacks.cell import Format

ADE = "ADEChallengeData2016"
PICTURE = f"{ADE}/images/training/ADE_train_00000001.jpg"
LABELS = f"{ADE}/annotations/training/ADE_train_00000001.png"
VOC = "VOCdevkit/VOC2010/ImageSets/SegmentationContext"


def _write_data(folder: Path) -> None:
    write_ade20k(draw(2, generator(1)), draw(1, generator(2)), folder)


def _read_data(folder: Path) -> Any:
    found = locate("ade20k", folder)
    return found.classes, [path.relative_to(folder) for path in found.files("train")]


def _write_context(folder: Path) -> None:
    write_pascal_context(draw(2, generator(1)), draw(1, generator(2)), folder)


def _read_context(folder: Path) -> Any:
    return [path.relative_to(folder) for path in locate("pascal-context-59", folder).files("train")]


def _read_sample(folder: Path) -> Any:
    found = locate("ade20k", folder)
    results = LoadPicture().transform({"img_path": str(folder / PICTURE)})
    results |= {"seg_map_path": str(folder / LABELS), "reduce_zero_label": True, "seg_fields": []}
    results = LoadLabels(len(found.classes)).transform(results)
    return results["img"].tolist(), results["gt_seg_map"].tolist()


def _write_checkpoints(folder: Path) -> None:
    """Write two that hold the same, so that the older one gives an equal answer."""
    for number in (1, 2):
        with new_folder(folder / f"iter_{number}") as content:
            torch.save({"state_dict": {"head": torch.arange(8.0)}}, content / CONTENT)


def _read_checkpoint(folder: Path) -> Any:
    number, _ = newest_iterations(folder)
    assert number
    return read_state_dict(checkpoint_of(folder, number))["head"].tolist()


def _write_record(folder: Path) -> None:
    HeadRecord(
        tower="t",
        checkpoint=None,
        sha256="a" * 64,
        head="linear",
        dataset="ade20k",
        classes=("sky", "sea"),
        crop=48,
    ).write(folder)


FORMATS = (
    Format("segmentation: classes", "text", _write_data, f"{ADE}/objectInfo150.txt", _read_data, optional=True),
    Format("segmentation: list of pictures", "text", _write_context, f"{VOC}/train.txt", _read_context),
    Format("segmentation: picture", "picture", _write_data, PICTURE, _read_sample),
    Format("segmentation: label map", "png", _write_data, LABELS, _read_sample),
    *(
        Format(
            f"segmentation's checkpoint: {file}",
            kind,
            _write_checkpoints,
            f"iter_2/{file}",
            _read_checkpoint,
            hashed=True,
        )
        for file, kind in ((CONTENT, "torch"), (SEAL, "text"))
    ),
    Format(
        "segmentation: record of a run", "json", _write_record, "segmentation.json", read_head_record, optional=True
    ),
)
