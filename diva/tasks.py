"""What is measured: the protocol of a task, and the registry of ours and other packages' tasks.

A package adds one with the entry-point group `diva.tasks`, whose entries name `Task` objects. A module that defines
one imports no torch at its top: the report loads every task, and must open on any machine.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from diva.errors import Invalid, Unknown, did_you_mean
from diva.results import Comparison, Result

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from diva.evaluation.measures import Measured
    from diva.evaluation.section import Change, Section
    from diva.towers import Clip

GROUP = "diva.tasks"


class Task:
    """Something that can be measured, with its place in the report.

    Attributes:
        name: as results and `diva bench NAME` call it.
        title: as the report calls it.
        place: sections stand in the report in this order.
        introduction: a sentence for the head of its section.
        of_towers: whether its results are of towers, which the report sets side by side.
    """

    of_towers = True

    def __init__(self, name: str, title: str, *, place: int = 100, introduction: str = "") -> None:
        self.name, self.title, self.place, self.introduction = name, title, place, introduction

    def title_of(self, part: str) -> str:
        """Return the title of one part of the task."""
        return f"{self.title}: {part}" if part else self.title

    def compare(self, result: Result, baseline: Result) -> list[Comparison]:
        """Compare two results, the headline first: here the mean of their items' outcomes.

        Raises:
            InputError: they were not measured alike.
        """
        from diva.evaluation.comparison import compare

        return [compare(result, baseline, result.headline)]

    def difference(self, result: Result, baseline: Result) -> "Change":
        """Return the headline's difference, for the report."""
        from diva.evaluation.measures import paired_difference

        return paired_difference(result, baseline, result.headline)

    def missing(self, options: Mapping[str, Any]) -> list[str]:  # noqa: ARG002
        """Return a sentence for each part of its data that is not there, where measuring could begin without it.

        Args:
            options: of the command, by their names, such as `data`.
        """
        return []

    def sections(self, measured: "Measured") -> "list[Section]":
        """Return what the report says of this task's results: here a table of the metrics of each measure."""
        from diva.evaluation.tables import tables

        return [tables(self, measured)]

    def other_files(self) -> "Mapping[str, Callable[[Path], Section]]":
        """Return the names of files, beside results, that the report shows for this task, with their readers."""
        return {}


class Settings(BaseModel):
    """What a task can be told beside tower and data: nothing here; a task has a model of its own where it can."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TowerTask(Task, ABC):
    """A task that measures one CLIP tower on a data set.

    Attributes:
        settings: the model of what it can be told: each field is an option of the verb, its description the help.
        needs_text: whether a tower without its text tower cannot be measured.
    """

    settings: type[Settings] = Settings
    needs_text = True

    @property
    def verb(self) -> str:
        """As `diva bench` calls it."""
        return self.name

    def show(self, result: Result, console: "Console") -> None:
        """Print a result: here every metric of the whole, beside a baseline's where there is one."""
        from diva.evaluation.show import show

        show(result, console)

    @abstractmethod
    def measure(self, clip: "Clip", data: Path, settings: Any, *, device: "torch.device", batch: int) -> Result:
        """Measure `clip`, in `eval()`, on `data`.

        Args:
            settings: an instance of the task's model.
            batch: images encoded at once.

        Work that takes long says how far it is through `diva.progress`.

        Raises:
            InputError: the data or a setting cannot be used.
        """

    def check(self, data: Path, settings: Any) -> None:
        """Raise InputError for data or settings that cannot be used; called before a tower is loaded."""

    def read_settings(self, given: Mapping[str, Any]) -> Settings:
        """Check what the task is told; values may be text, as the command line has them.

        Raises:
            InputError: a name or a value is not the task's.
        """
        for name in given:
            if name not in self.settings.model_fields:
                raise Unknown(
                    name, f"is not a setting of {self.name}; {did_you_mean(name, self.settings.model_fields)}"
                )
        try:
            return self.settings.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            raise Invalid(first["loc"][0], f"{first['msg']}; give another value") from error


def find_tasks() -> dict[str, Task]:
    """Return every installed task by its name, in the order of their places.

    Raises:
        InputError: a package's entry is not a task.
    """
    found: dict[str, Task] = {}
    for entry in entry_points(group=GROUP):
        task = entry.load()
        if not isinstance(task, Task):
            raise Invalid(entry.value, "is not a diva.tasks.Task; fix or remove the package that names it")
        found[task.name] = task
    return dict(sorted(found.items(), key=lambda each: (each[1].place, each[0])))


def find_task(name: str) -> Task:
    """Return the task called `name`.

    Raises:
        InputError: there is none of that name.
    """
    tasks = find_tasks()
    if name not in tasks:
        raise Unknown(name, f"is not a task; {did_you_mean(name, tasks)}")
    return tasks[name]
