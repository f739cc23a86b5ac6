"""What a LLaVA is measured on, as tasks."""

from typing import TYPE_CHECKING

from diva.results import Comparison, Result
from diva.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diva.evaluation.measures import Measure, Measured
    from diva.evaluation.section import Remark, Row, Section

MOST = 50.0  # percent of the answers

ALIKE = (
    "The settings end with what was trained after the tower was put in; zero-retrain: nothing was, so the"
    " language model has never seen through this tower. Unread: answers that no rule could read, which count as"
    " wrong (in POPE: as yes)."
)


class LlavaTask(Task):
    """Questions about images that a language model answers through the tower."""

    def compare(self, result: Result, baseline: Result) -> list[Comparison]:
        """Compare two results as `diva llava eval` does."""
        from diva_downstream.llava.evaluation.benchmarks import BENCHMARKS

        benchmark = next(
            each for each in BENCHMARKS.values() if (each.task, each.part) == (result.task, result.part)
        )
        return benchmark.compare(result, baseline)

    def sections(self, measured: "Measured") -> "list[Section]":
        """Return the tables; where most answers were unread, the first screen says so and compares nothing."""
        from diva.evaluation.tables import tables

        section = tables(self, measured)
        rows = [_said_unread(row, each) for row, each in zip(section.summary, measured.measures, strict=True)]
        remarks = [remark for each in measured.measures for remark in _remarks(each)]
        return [section.model_copy(update={"summary": rows, "remarks": remarks})]


def _unread(measure: "Measure") -> dict[int, float]:
    """Return the percentage of unread answers in each column where it is most of them."""
    found = {
        column: entry.result.metrics["unread"].value
        for column, entry in enumerate(measure.entries)
        if entry and "unread" in entry.result.metrics
    }
    return {column: share for column, share in found.items() if share > MOST}


def _said_unread(row: "Row", measure: "Measure") -> "Row":
    from diva.evaluation.section import Change, words

    unread = _unread(measure)
    cells = [
        [
            *(each for each in cell if not (isinstance(each, Change) and ({0, column} & unread.keys()))),
            *(words(f"unread: {unread[column]:.0f} % of the answers", "note") if column in unread else ()),
        ]
        for column, cell in enumerate(row.cells)
    ]
    return row.model_copy(update={"cells": cells})


def _remarks(measure: "Measure") -> "Iterator[Remark]":
    from diva.evaluation.section import Remark

    unread = _unread(measure)
    for column, entry in enumerate(measure.entries):
        whose = [name for at, name in ((0, "the baseline's"), (column, "its")) if at in unread]
        if entry and whose and column:
            yield Remark(
                tower=entry.result.subject.sha256,
                sentence=f"{measure.title} says nothing: most of {' and '.join(whose)} answers could not be read.",
            )


MMBENCH = LlavaTask("mmbench", "MMBench", place=40, introduction=ALIKE)
MMVP_VQA = LlavaTask("mmvp-vqa", "MMVP (VQA)", place=41, introduction=ALIKE)
POPE = LlavaTask("pope", "POPE", place=42, introduction=ALIKE)
MME = LlavaTask("mme", "MME", place=44, introduction=ALIKE)
CV_BENCH = LlavaTask("cv-bench", "CV-Bench", place=45, introduction=ALIKE)
NATURALBENCH = LlavaTask("naturalbench", "NaturalBench", place=46, introduction=ALIKE)
MMSTAR = LlavaTask("mmstar", "MMStar", place=47, introduction=ALIKE)
REALWORLDQA = LlavaTask("realworldqa", "RealWorldQA", place=48, introduction=ALIKE)
BLINK = LlavaTask("blink", "BLINK", place=49, introduction=ALIKE)
HALLUSIONBENCH = LlavaTask("hallusionbench", "HallusionBench", place=49, introduction=ALIKE)
LLAVA_BENCH = LlavaTask("llava-bench", "LLaVA-Bench", place=43, introduction=ALIKE)
