"""Finding the files that a report is made of, and reading those that can be read."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diva.documents import read_file, read_yaml
from diva.errors import InputError
from diva.pipelines.manifest import MANIFEST
from diva.results import Result, read_result
from diva.visualize.index import INDEX
from diva_benchmarks.report.content import LeftOut, Methods, RecipeFile, Training
from diva_benchmarks.report.methods import STUDY, read_methods
from diva_benchmarks.report.pictures import Picture, read_picture
from diva_benchmarks.report.qualitative import Qualitative, read_qualitative
from diva_benchmarks.report.runs import PipelineRun, read_run
from diva_benchmarks.report.training import METRICS, read_training

RECIPE = "recipe.yaml"
SHEET = ".sheet.png"  # the picture sheet of RESULT.json is RESULT.sheet.png
NAMED = (METRICS, RECIPE, MANIFEST, INDEX, STUDY)


@dataclass(frozen=True)
class Sources:
    """Everything that was found, in the order in which it was given; what cannot be read is in `left_out`."""

    results: list[tuple[Path, Result]] = field(default_factory=list)
    training: list[Training] = field(default_factory=list)
    recipes: list[RecipeFile] = field(default_factory=list)
    sheets: dict[Path, Picture] = field(default_factory=dict)
    qualitative: list[Qualitative] = field(default_factory=list)
    runs: list[PipelineRun] = field(default_factory=list)
    methods: list[Methods] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def read_sources(places: Iterable[Path]) -> Sources:
    """Read what `diva` wrote, each file named as it is or somewhere below a folder.

    These are result files with their picture sheets, `metrics.jsonl`, `recipe.yaml`, the `manifest.json` of
    `diva run`, the `visualised.json` of `diva visualize` and the `study.json` of `diva miniworld study`. Another
    JSON file below a folder is taken for a result if it says so or cannot be parsed; the rest (a tower's
    configuration) are passed over. A file that is named by itself must be one of these.

    Raises:
        InputError: a place does not exist or is no such file, or nothing at all was found.
    """
    sources = Sources()
    for path in dict.fromkeys(path for place in places for path in _files(place)):
        try:
            if path.name == METRICS:
                sources.training.append(read_training(path))
            elif path.name == RECIPE:
                sources.recipes.append(_read_recipe(path))
            elif path.name == MANIFEST:
                sources.runs.append(read_run(path))
            elif path.name == INDEX:
                sources.qualitative.append(read_qualitative(path))
            elif path.name == STUDY:
                sources.methods.append(read_methods(path))
            else:
                sources.results.append((path, read_result(path)))
                sheet = path.with_suffix(SHEET)
                if sheet.is_file():
                    sources.sheets[path] = read_picture(sheet, path.parent)
        except InputError as error:
            sources.left_out.append(LeftOut(what=str(path), reason=str(error).removeprefix(f"{path}: ")))
    shown = (sources.results, sources.training, sources.runs, sources.qualitative, sources.methods)
    if not any(shown) and not sources.left_out:
        raise InputError("RESULTS: no result file there; name files or folders that `diva bench` or `train` wrote")
    return sources


def _files(place: Path) -> Iterator[Path]:
    if place.is_dir():
        # a FIFO or a link to nothing of such a name is read too, which says what is wrong with it
        found = sorted(path for path in place.rglob("*") if path.is_symlink() or not path.is_dir())
        yield from (path for path in found if path.name in NAMED or _claims_to_be_result(path))
    elif not place.is_file():
        raise InputError(f"{place}: no such file or folder; name result files or folders that hold them")
    elif place.suffix == ".json" or place.name in NAMED:
        yield place
        if place.name == METRICS and place.with_name(RECIPE).is_file():
            yield place.with_name(RECIPE)
    else:
        raise InputError(
            f"{place}: is no result file (.json), {METRICS} or {RECIPE}; name one of these or a folder"
        )


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
    return isinstance(content, dict) and {"schema_version", "benchmark"} <= content.keys()


def _read_recipe(path: Path) -> RecipeFile:
    fields, content = read_yaml(path), read_file(path)
    if not isinstance(fields, dict):
        raise InputError(f"{path}: is not a recipe; give the one that the run wrote")
    return RecipeFile(
        name=str(fields.get("name") or path.parent.name),
        path=str(path),
        sha256=hashlib.sha256(content).hexdigest(),
        text=content.decode(errors="replace"),
    )
