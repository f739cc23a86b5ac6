"""LLaVA: a table for each benchmark of the language model that looks through the tower."""

from collections.abc import Sequence

from diva_benchmarks.report.content import Llava
from diva_benchmarks.report.measures import LLAVA, Measure


def is_llava(measure: Measure) -> bool:
    """Whether `measure` was written by `diva llava eval`."""
    return measure.benchmark in LLAVA


def llava(measures: Sequence[Measure]) -> list[Llava]:
    """Return the language model's measures; figures of single categories (`circular/category/ocr`) are details."""
    return [
        Llava(
            title=measure.title,
            note=measure.setting,
            rows=[measure.row(metric, metric) for metric in measure.metrics if "/" not in metric],
            details=[measure.row(metric, metric) for metric in measure.metrics if "/" in metric],
        )
        for measure in measures
        if is_llava(measure)
    ]
