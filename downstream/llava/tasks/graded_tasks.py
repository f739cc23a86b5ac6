"""The graded benchmarks by name, and what lm-eval calls of them."""

from collections.abc import Sequence

from datasets import Dataset

from diva.errors import Damaged
from diva_downstream.llava.tasks import blink, cv_bench, hallusionbench, mme, mmstar, naturalbench, realworldqa
from diva_downstream.llava.tasks.graded import UNREAD, Grade, doc_to_image, doc_to_text, share
from diva_downstream.llava.tasks.source import Document, as_test_split, first_groups

GRADED = {
    each.BENCHMARK.name: each.BENCHMARK
    for each in (mme, cv_bench, naturalbench, mmstar, realworldqa, blink, hallusionbench)
}
__all__ = ["GRADED", "doc_to_image", "doc_to_text", "documents", "process_results", "share"]


def documents(
    *, data: str | None = None, first: int | None = None, benchmark: str, **_: object
) -> dict[str, Dataset]:
    """Return lm-eval's data set of a benchmark below `data`, or of its `first` units.

    Raises:
        InputError: a file is missing, or is not the official one.
    """
    graded = GRADED[benchmark]
    files = graded.locate(data)
    try:
        found = [each | {"benchmark": benchmark} for each in graded.documents(files)]
    except (TypeError, AttributeError, KeyError) as error:
        what = f"{type(error).__name__}: {error}"
        raise Damaged(
            files[0].parent, f"a question is not as in {graded.data}'s files ({what}); fetch them again"
        ) from error
    if not found:
        raise Damaged(files[0], "holds no question; fetch the file again")
    return as_test_split(first_groups(found, lambda each: each["units"][graded.figures[0]], first))


def process_results(question: Document, answers: Sequence[str]) -> dict[str, object]:
    """Return what lm-eval aggregates: the grade for each figure, and whether the answer could not be read."""
    graded = GRADED[question["benchmark"]]
    said = graded.read(question, answers[0])
    right, units = said == question["right"], question["units"]
    found = {name: Grade(question["group"], units[name], right) for name in graded.figures}
    return {**found, **dict.fromkeys(graded.totals, found), UNREAD: float(said is None)}
