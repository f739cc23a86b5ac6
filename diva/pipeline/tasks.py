"""The steps of a plan as doit's tasks: when one is up to date, and what runs it."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

from doit.exceptions import TaskFailed
from doit.task import Task

from diva.pipeline.data import fingerprint, missing_files
from diva.pipeline.ledger import Ledger
from diva.pipeline.plan import Step
from diva.recipes.pipeline import DataPlace

Fingerprints = Mapping[str, str | None]


def absent_data(step: Step, places: Mapping[str, DataPlace]) -> list[str]:
    """Return a line for each of the step's data that are not complete, with where to get them."""
    lines = []
    for name, path in step.data.items():
        missing = missing_files(path)
        if missing:
            what = missing[0] if len(missing) == 1 else f"{path} ({len(missing)} files, the first {missing[0]})"
            lines.append(f"{what} is missing; where to get it: {places[name].source or 'docs/data.md'}")
    return lines


def tasks_of(
    steps: Sequence[Step],
    places: Mapping[str, DataPlace],
    ledger: Ledger,
    run: Callable[[Step, Fingerprints], TaskFailed | None],
) -> dict[str, Task]:
    """Return the tasks that run `steps`, by their names; where data are missing they only say so.

    One is up to date while its command, its data and its facts are as before, the files that it makes are there,
    and those that it needs are unchanged (doit compares MD5) and of stages that were made from the same: what
    proves a stage done need not change with all else in its folder.

    Args:
        places: the recipe's data.
        ledger: knows what each step was made from.
        run: runs a step, given the fingerprints of its data, and returns what went wrong.
    """
    known = cache(lambda path: None if missing_files(path) else fingerprint(path))  # many steps read the same data
    return {step.name: _task(step, absent_data(step, places), known, ledger, run) for step in steps}


def _task(
    step: Step,
    absent: Sequence[str],
    known: Callable[[str], str | None],
    ledger: Ledger,
    run: Callable[[Step, Fingerprints], TaskFailed | None],
) -> Task:
    found = {name: known(path) for name, path in step.data.items()}
    return Task(
        step.name,
        [(_refuse, [absent]) if absent else (run, [step, found])],
        file_dep=[str(path) for path in step.needs],
        targets=[str(path) for path in step.makes],
        uptodate=[partial(_unchanged, step=step, found=found, ledger=ledger)],
        io={"capture": False},
    )


def _unchanged(task: Task, values: Mapping[str, Any], *, step: Step, found: Fingerprints, ledger: Ledger) -> bool:
    """Tell whether everything that `step` is made from is what it was at its last success.

    doit asks when the steps before have been run, and keeps `made_from` when this one has ended well.
    """
    now = made_from(step, found, ledger)
    task.value_savers.append(lambda: {"made_from": now})
    return values.get("made_from") == now


def made_from(step: Step, found: Fingerprints, ledger: Ledger) -> str:
    """Return a digest of all that a run of `step` now would be made from, through all the stages before it."""
    before = {name: ledger[name].made_from for name in step.after}
    said = {"words": list(step.words), "data": dict(found), "facts": dict(step.facts), "before": before}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _refuse(absent: Sequence[str]) -> TaskFailed:
    return TaskFailed("; ".join(absent))
