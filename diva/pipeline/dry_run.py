"""`diva run --dry-run`: what would be run, what is there already, and which data are missing."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from diva.pipeline.ledger import Ledger
from diva.pipeline.plan import Step
from diva.pipeline.tasks import absent_data, tasks_of
from diva.recipes.pipeline import DataPlace

CACHED = "cached"
REASONS = {
    "missing_target": "not made yet",
    "changed_file_dep": "what it needs changed",
    "uptodate_false": "its command, its data, the recipe or what it needs changed",
}


class Forecast(NamedTuple):
    """What a run would do with a step: keep it ("cached"), run it, or refuse it for want of data."""

    step: Step
    outlook: str
    absent: list[str]


def forecast(steps: Sequence[Step], places: Mapping[str, DataPlace], ledger: Ledger) -> Iterator[Forecast]:
    """Yield the outlook of each step; nothing is run or written."""
    dependency, tasks = ledger.dependency(), tasks_of(steps, places, ledger, _never)
    cached: set[str] = set()
    for step in steps:
        absent = absent_data(step, places)
        status = dependency.get_status(tasks[step.name], tasks, get_log=True)
        waits = [name for name in step.after if name in tasks and name not in cached]
        if absent:
            outlook = "data missing"
        elif waits:
            outlook = f"to run after {', '.join(waits)}"
        elif status.status == "up-to-date":
            outlook = CACHED
            cached.add(step.name)
        elif "missing_file_dep" in status.reasons:
            outlook = f"lacks {', '.join(str(path) for path in step.needs if not path.exists())}"
        else:
            outlook = "to run: " + next(said for reason, said in REASONS.items() if reason in status.reasons)
        yield Forecast(step, outlook, absent)


def print_plan(steps: Sequence[Step], places: Mapping[str, DataPlace], ledger: Ledger, console: Console) -> None:
    """Print every step with its outlook and command, and each piece of missing data with where to get it."""
    absent: dict[str, None] = {}
    for each in forecast(steps, places, ledger):
        absent |= dict.fromkeys(each.absent)
        console.print(Text(f"{each.step.name}: {each.outlook}", "bold"), soft_wrap=True)
        launched = f"{shlex.join(each.step.launcher)}: " if each.step.launcher else ""
        console.print(Text(f"  {launched}diva {shlex.join(each.step.words)}", "dim"), soft_wrap=True)
    console.print(Text("report: always the last"))
    for line in absent:
        console.print(Text(line, "red"), soft_wrap=True)


def _never(*_: object) -> None:
    raise AssertionError("a dry run runs nothing")
