"""From a recipe's `pipeline` to the commands that are run."""

import hashlib
import json
import shlex
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from diva.errors import InputError, did_you_mean
from diva.pipeline.manifest import REPORT
from diva.recipes import Recipe
from diva.recipes.pipeline import PipelineSection, PipelineStage
from diva.recipes.resume import FREE_ON_RESUME, lasting

TRAINING = "training.yaml"  # the recipe without its pipeline, for `diva train`
PACKAGES = Path(__file__).parents[2]  # the folder that diva and its pipelines are installed in
OWN = ("out", "recipe", "device", "each", "packages")


@dataclass(frozen=True)
class Step:
    """A stage, or one of those that its `each` makes of it.

    Attributes:
        name: of the step; `stage`: its name in the recipe.
        words: the `diva` command; `launcher`: what starts it, empty for this Python.
        folder: of its own, which holds its log and whatever it makes.
        makes: the files that it leaves when it is done.
        after: the names of the steps that it needs, and `needs`: the files that they make.
        data: the places that it reads, by their names in the recipe.
        facts: whatever else its outcome depends on.
    """

    name: str
    stage: str
    words: tuple[str, ...]
    launcher: tuple[str, ...]
    folder: Path
    makes: tuple[Path, ...]
    after: tuple[str, ...]
    needs: tuple[Path, ...]
    data: Mapping[str, str]
    facts: Mapping[str, str]

    @property
    def log(self) -> Path:
        """Where everything goes that its process prints."""
        return self.folder / "log.txt"


def plan(recipe: Recipe, out: Path) -> list[Step]:
    """Return the recipe's steps in its own order, save that each stands right behind those that it needs.

    Args:
        recipe: with a pipeline.
        out: the folder of the run; each step has one in it.

    Raises:
        InputError: there is no pipeline, a command names something that is neither a stage nor data, two things
            share a name, or stages need each other in a circle.
    """
    pipeline = recipe.pipeline
    if pipeline is None:
        raise InputError(f"pipeline: recipe '{recipe.name}' names no stages; see docs/run.md, or use `diva train`")
    titles = [_title(name, each) for name, stage in pipeline.stages.items() for each in stage.each or ("",)]
    names = [*OWN, REPORT, *titles, *(name for name, its in pipeline.stages.items() if its.each), *pipeline.data]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"pipeline: '{twice[0]}' means two things; give that stage or those data another name")
    training = hashlib.sha256(json.dumps(lasting(recipe, FREE_ON_RESUME), sort_keys=True).encode()).hexdigest()
    return _in_order(
        [
            _step(pipeline, name, each, out, training)
            for name, stage in pipeline.stages.items()
            for each in stage.each or ("",)
        ]
    )


def report_step(pipeline: PipelineSection, out: Path, facts: Mapping[str, str]) -> Step:
    """Return the step that every run ends with; `facts` say how each of the others stands."""
    folder = out / REPORT
    published = ("--published",) if pipeline.published else ()
    return Step(
        name=REPORT,
        stage=REPORT,
        words=("report", str(out), "--out", str(folder), *published),
        launcher=(),
        folder=folder,
        makes=(folder / "report.html", folder / "report.json"),
        after=(),
        needs=(),
        data={},
        facts=facts,
    )


def training_recipe(recipe: Recipe) -> Recipe:
    """Return what `diva train` is given: the stages around it are none of its business."""
    return recipe.model_copy(update={"pipeline": None})


def _in_order(steps: Sequence[Step]) -> list[Step]:
    numbers = {step.name: number for number, step in enumerate(steps)}
    needed = {number: {numbers[name] for name in step.after} for number, step in enumerate(steps)}
    try:
        TopologicalSorter(needed).prepare()
    except CycleError as error:
        circle = " → ".join(steps[number].name for number in reversed(error.args[1]))
        raise InputError(f"pipeline: {circle}: each of these stages needs the next; break the circle") from error
    ordered: dict[int, Step] = {}

    def put(number: int) -> None:
        for other in sorted(needed[number] - ordered.keys()):
            put(other)
        ordered.setdefault(number, steps[number])

    for number in needed:
        put(number)
    return list(ordered.values())


def _step(pipeline: PipelineSection, name: str, each: str, out: Path, training: str) -> Step:
    stage, folder = pipeline.stages[name], out / _title(name, each)
    others: dict[str, tuple[str, str]] = {}  # what may stand in braces → the stage and the item
    for other, its in pipeline.stages.items():
        others |= {_title(other, item): (other, item) for item in its.each or ("",)}
        if each in its.each:  # a stage that has several steps is the one for the same item
            others[other] = (other, each)
    others = {key: value for key, value in others.items() if value != (name, each)}
    own = {"recipe": str(out / TRAINING), "device": pipeline.device, "packages": str(PACKAGES), "out": str(folder)}
    places = {data: place.path for data, place in pipeline.data.items()}
    values = own | {key: str(out / _title(*value)) for key, value in others.items()} | places
    where = f"pipeline.stages.{name}"
    words, used = _fill(_for_item(stage.command, each), values, f"{where}.command")
    launcher, _ = _fill(pipeline.launcher if stage.launcher is None else stage.launcher, own, f"{where}.launcher")
    reads = {_for_item(data, each) for data in stage.reads}
    unknown = sorted(reads - places.keys())
    if unknown:
        hint = did_you_mean(unknown[0], places)
        raise InputError(f"{where}.reads: there are no data called '{unknown[0]}'; {hint}")
    needed = dict.fromkeys(value for key, value in others.items() if key in used)
    return Step(
        name=folder.name,
        stage=name,
        words=tuple(words),
        launcher=tuple(launcher),
        folder=folder,
        makes=_made(stage, folder, each),
        after=tuple(_title(other, item) for other, item in needed),
        needs=tuple(
            path
            for other, item in needed
            for path in _made(pipeline.stages[other], out / _title(other, item), item)
        ),
        data={data: place for data, place in places.items() if place and (data in used or data in reads)},
        facts={"recipe": training} if "recipe" in used else {},
    )


def _title(stage: str, each: str) -> str:
    return f"{stage}-{each}" if each else stage


def _made(stage: PipelineStage, folder: Path, each: str) -> tuple[Path, ...]:
    return tuple(folder / _for_item(file, each) for file in stage.makes)


def _for_item(text: str, each: str) -> str:
    """Put the item in: `{{each}}` becomes the data of that name, `{a-{each}}` the stage or the step."""
    return text.replace("{each}", each) if each else text


def _fill(text: str, values: Mapping[str, str | None], where: str) -> tuple[list[str], set[str]]:
    """Return the words of `text` with the names in braces replaced, and these names.

    A word with a name that stands for None is left out, with the option before it.
    """
    words: list[str] = []
    used: set[str] = set()
    for word, names in _words(text, where):
        unknown = sorted(names - values.keys())
        if unknown:
            hint = did_you_mean(unknown[0], values)
            raise InputError(f"{where}: '{{{unknown[0]}}}' stands for nothing here; {hint}")
        used |= names
        if all(values[name] is not None for name in names):
            words.append(word.format_map(values))
        elif words and words[-1].startswith("--"):
            words.pop()
    return words, used


def _words(text: str, where: str) -> list[tuple[str, set[str]]]:
    """Split `text` as a shell does; return each word with the names in its braces."""
    try:
        return [
            (word, {name for _, name, _, _ in string.Formatter().parse(word) if name is not None})
            for word in shlex.split(text)
        ]
    except ValueError as error:  # a quote or a brace that is not closed
        raise InputError(f"{where}: cannot be read ({error}); mend its quotes and braces") from error
