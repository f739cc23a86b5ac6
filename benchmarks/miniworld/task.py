"""The study of methods on the miniature world as a task: it has a file of its own in place of results."""

from collections.abc import Callable, Mapping
from pathlib import Path

from diva.evaluation.section import Section
from diva.tasks import Task
from diva_benchmarks.miniworld.section import read_study


class StudyTask(Task):
    """Methods, what preserves the tower, and controls, on independent miniature bases."""

    def other_files(self) -> Mapping[str, Callable[[Path], Section]]:
        """Return the reader of `study.json`."""
        return {"study.json": read_study}


TASK = StudyTask("study", "Methods compared", place=5)
