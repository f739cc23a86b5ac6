"""Segmentation: a table for each head and data set, with the sheet of the images where two towers differ most."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from diva_benchmarks.report.content import Segmentation
from diva_benchmarks.report.measures import Measure
from diva_benchmarks.report.pictures import Picture

SEGMENTATION = "segmentation"


def is_segmentation(measure: Measure) -> bool:
    """Whether `measure` was written by the segmentation pipeline."""
    return measure.benchmark.split("/")[0] == SEGMENTATION


def segmentation(measures: Sequence[Measure], sheets: Mapping[Path, Picture]) -> list[Segmentation]:
    """Return the segmentation measures; the figures of single classes (`iou/wall`) stand apart as details."""
    return [
        Segmentation(
            title=measure.title.removeprefix(f"{SEGMENTATION}/"),
            note=measure.setting,
            rows=[measure.row(metric, metric) for metric in measure.metrics if "/" not in metric],
            details=[measure.row(metric, metric) for metric in measure.metrics if "/" in metric],
            sheets=_sheets(measure, sheets),
        )
        for measure in measures
        if is_segmentation(measure)
    ]


def _sheets(measure: Measure, sheets: Mapping[Path, Picture]) -> list[Picture]:
    paths = dict.fromkeys(entry.path for entry in measure.entries if entry)
    return [sheets[path] for path in paths if path in sheets]
