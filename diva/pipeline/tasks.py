"""The steps of a plan as doit's tasks: when one is up to date, and what runs it."""

from collections.abc import Callable, Mapping, Sequence

from doit.exceptions import TaskFailed
from doit.task import Task
from doit.tools import config_changed

from diva.pipeline.data import fingerprint, missing_files
from diva.pipeline.plan import Step
from diva.recipes.pipeline import DataPlace

Fingerprints = Mapping[str, str | None]


def absent_data(step: Step, places: Mapping[str, DataPlace]) -> list[str]:
    """Return a line for each of the step's data that are not complete, with where to get them."""
    lines = []
    for name, path in step.data.items():
        missing = missing_files(path)
        if missing:
            what = path if len(missing) == 1 else f"{path} ({len(missing)} files, the first {missing[0]})"
            lines.append(f"{what} is missing; where to get it: {places[name].source or 'docs/data.md'}")
    return lines


def task_of(
    step: Step, places: Mapping[str, DataPlace], run: Callable[[Step, Fingerprints], TaskFailed | None]
) -> Task:
    """Return the task that runs `step`; where data are missing it only says so.

    It is up to date while its command, its data and its facts are as before, the files that it makes are there, and
    those that it needs are unchanged (doit compares MD5).

    Args:
        places: the recipe's data.
        run: runs a step, given the fingerprints of its data, and returns what went wrong.
    """
    absent = absent_data(step, places)
    found = {name: None if missing_files(path) else fingerprint(path) for name, path in step.data.items()}
    return Task(
        step.name,
        [(_refuse, [absent]) if absent else (run, [step, found])],
        file_dep=[str(path) for path in step.needs],
        targets=[str(path) for path in step.makes],
        uptodate=[config_changed({"words": step.words, "data": found, "facts": dict(step.facts)})],
        io={"capture": False},
    )


def _refuse(absent: Sequence[str]) -> TaskFailed:
    return TaskFailed("; ".join(absent))
