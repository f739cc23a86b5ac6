"""Finding the files that a report is made of, and reading those that can be read."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diva.documents import read_file, read_yaml
from diva.errors import InputError, Invalid, Missing
from diva.evaluation.measures import Entry
from diva.evaluation.pictures import read_picture
from diva.evaluation.section import Section
from diva.pipelines.manifest import MANIFEST
from diva.results import read_result
from diva.run_folder import METRICS, RECIPE
from diva.tasks import Task, find_tasks
from diva.visualize.index import INDEX
from diva_benchmarks.report.columns import Origin
from diva_benchmarks.report.content import LeftOut, RecipeFile
from diva_benchmarks.report.qualitative import read_qualitative
from diva_benchmarks.report.runs import read_run
from diva_benchmarks.report.training import Cost, read_training

SHEET = ".sheet.png"  # the picture sheet of RESULT.json is RESULT.sheet.png
NAMED = (METRICS, RECIPE, MANIFEST, INDEX)


@dataclass(frozen=True)
class Sources:
    """Everything that was found, in the order in which it was given; what cannot be read is in `left_out`.

    Attributes:
        tasks: that are installed.
        results: with their sheets of pictures.
        of_tasks: sections of tasks' own files, by the task's name.
        pictures: sections of the images that show what changed.
        sections: of training runs and pipelines.
        incomplete: for each run of a pipeline that is not done, what it lacks.
        origins: the steps of those runs.
        costs: of the training runs, by their folders.
    """

    tasks: dict[str, Task]
    results: list[Entry] = field(default_factory=list)
    of_tasks: dict[str, list[Section]] = field(default_factory=dict)
    pictures: list[Section] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    costs: dict[Path, Cost] = field(default_factory=dict)
    recipes: list[RecipeFile] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def read_sources(places: Iterable[Path]) -> Sources:
    """Read what `diva` wrote, each file named as it is or somewhere below a folder.

    These are result files with their picture sheets, `metrics.jsonl`, `recipe.yaml`, the `manifest.json` of
    `diva run`, the `visualised.json` of `diva visualize` and tasks' own files, such as the study's. Another
    JSON file below a folder is taken for a result if it says so or cannot be parsed; the rest (a tower's
    configuration) are passed over. A file that is named by itself must be one of these.

    Raises:
        InputError: a place does not exist or is no such file, or nothing at all was found.
    """
    sources = Sources(find_tasks())
    names = {name: task for task in sources.tasks.values() for name in task.other_files()}
    for path in dict.fromkeys(path for place in places for path in _files(place, {*NAMED, *names})):
        try:
            _read(path, sources, names.get(path.name))
        except InputError as error:
            sources.left_out.append(LeftOut(what=str(path), reason=str(error).removeprefix(f"{path}: ")))
    if not any((sources.results, sources.of_tasks, sources.pictures, sources.sections, sources.left_out)):
        raise Missing("RESULTS", "no result file there; name files or folders that `diva bench` or `train` wrote")
    sources.sections.sort(key=lambda section: ("training", "run").index(section.id))
    return sources


def _read(path: Path, sources: Sources, task: Task | None) -> None:
    if task:
        sources.of_tasks.setdefault(task.name, []).append(task.other_files()[path.name](path))
    elif path.name == METRICS:
        section, sources.costs[path.parent] = read_training(path)
        sources.sections.append(section)
    elif path.name == RECIPE:
        sources.recipes.append(_read_recipe(path))
    elif path.name == MANIFEST:
        section, missing, origins = read_run(path)
        sources.sections.append(section)
        sources.origins.extend(origins)
        sources.incomplete.extend([missing] if missing else [])
    elif path.name == INDEX:
        sources.pictures.append(read_qualitative(path))
    else:
        entry = Entry(path, read_result(path))
        sources.results.append(entry)  # which stays where a picture cannot be read
        sheet = path.with_suffix(SHEET)
        if sheet.is_file():
            entry = entry._replace(sheet=read_picture(sheet, path.parent))
        pictures = {
            item.id: [read_picture(path.with_name(name), path.parent) for name in item.pictures]
            for item in entry.result.items
            if item.pictures
        }
        sources.results[-1] = entry._replace(pictures=pictures)


def _files(place: Path, named: set[str]) -> Iterator[Path]:
    if place.is_dir():
        # a FIFO or a link to nothing of such a name is read too, which says what is wrong with it
        found = sorted(path for path in place.rglob("*") if path.is_symlink() or not path.is_dir())
        yield from (path for path in found if path.name in named or _claims_to_be_result(path))
    elif not place.is_file():
        raise Missing(place, "no such file or folder; name result files or folders that hold them")
    elif place.suffix == ".json" or place.name in named:
        yield place
        if place.name == METRICS and place.with_name(RECIPE).is_file():
            yield place.with_name(RECIPE)
    else:
        raise Invalid(place, f"is no result file (.json), {METRICS} or {RECIPE}; name one of these or a folder")


def _claims_to_be_result(path: Path) -> bool:
    if path.suffix != ".json":
        return False
    try:
        content = read_file(path)
    except InputError:
        return True  # reading it as a result says what is wrong with it
    try:
        return _is_result(json.loads(content))
    except (ValueError, RecursionError):
        return not _holds_other_lines(content)


def _holds_other_lines(content: bytes) -> bool:
    """Tell whether the first line is a whole JSON value: a log, or data such as POPE's."""
    try:
        return not _is_result(json.loads(content.partition(b"\n")[0]))
    except (ValueError, RecursionError):
        return False


def _is_result(content: Any) -> bool:
    kinds = ({"schema_version", "task"}, {"schema_version", "benchmark"})  # of this version, and of version 1
    return isinstance(content, dict) and any(kind <= content.keys() for kind in kinds)


def _read_recipe(path: Path) -> RecipeFile:
    fields, content = read_yaml(path), read_file(path)
    if not isinstance(fields, dict):
        raise Invalid(path, "is not a recipe; give the one that the run wrote")
    return RecipeFile(
        name=str(fields.get("name") or path.parent.name),
        path=str(path),
        sha256=hashlib.sha256(content).hexdigest(),
        text=content.decode(errors="replace"),
    )
