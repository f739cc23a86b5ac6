"""What `diva seg` reads: data sets, lists of classes, the record of a run, its head."""

from pathlib import Path
from typing import Any

from diva.miniworld.scene import draw, generator
from diva.miniworld.writers import write_ade20k
from downstream.segmentation.datasets import locate
from downstream.segmentation.setup import Setup, read_setup
from tests.faults.attacks.cell import Format

ADE = "ADEChallengeData2016"


def _write_data(folder: Path) -> None:
    write_ade20k(draw(2, generator(1)), draw(1, generator(2)), folder)


def _read_data(folder: Path) -> Any:
    found = locate("ade20k", folder)
    return found.classes, [path.relative_to(folder) for path in found.files("train")]


def _write_record(folder: Path) -> None:
    Setup(
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
    Format("segmentation: record of a run", "json", _write_record, "segmentation.json", read_setup, optional=True),
)
