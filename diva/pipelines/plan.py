"""From a pipeline and a recipe to the commands that are run."""

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from diva.errors import Damaged, InputError, Invalid, Mismatch, Missing, Unknown, did_you_mean
from diva.pipelines.manifest import REPORT
from diva.pipelines.references import common_values, resolved
from diva.pipelines.schema import DataPlace, Pipeline, PipelineStep
from diva.pipelines.verbs import SET, TRAIN, Verb, find_verb
from diva.recipes import Recipe
from diva.recipes.resume import FREE_ON_RESUME, lasting

TRAINING = "training.yaml"  # the recipe of the run, in its folder
MOST_STEPS = 500
EXTRAS = {"llava": "lm_eval", "segmentation": "mmseg"}  # a package that each of them brings


@dataclass(frozen=True)
class Step:
    """A step of a pipeline, or one of those that its `each` makes of it.

    Attributes:
        name: of its own; `family`: in the pipeline.
        words: the `diva` command; `launcher`: what starts it, empty for this Python.
        folder: of its own, which holds its log and whatever it makes.
        makes: the files that it leaves when it is done.
        after: the names of the steps that it needs, and `needs`: the files that they make.
        data: what it reads and no step makes, by name.
        facts: whatever else its outcome depends on.
        control: whether the tower that it makes is a control.
        uses, options: what `words` are made of.
    """

    name: str
    family: str
    words: tuple[str, ...]
    launcher: tuple[str, ...]
    folder: Path
    makes: tuple[Path, ...]
    after: tuple[str, ...]
    needs: tuple[Path, ...]
    data: Mapping[str, DataPlace]
    facts: Mapping[str, str]
    control: bool = False
    uses: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """Where everything goes that its process prints."""
        return self.folder / "log.txt"


def plan(recipe: Recipe, pipeline: Pipeline, out: Path) -> list[Step]:
    """Return the steps in the pipeline's own order, save that each stands right behind those that it needs.

    Those of extras that are not installed are left out.

    Args:
        recipe: of the run, which `train` trains.
        pipeline: as `load_pipeline` returns it for this recipe.
        out: the folder of the run; each step has one in it.

    Raises:
        InputError: a step uses, needs or names something that is not there, two things share a name, or steps need
            each other in a circle.
    """
    try:
        return _in_order(_Plan(recipe, pipeline, out).steps())
    except InputError as error:
        raise error.within(pipeline.name) from error


def missing_extras(pipeline: Pipeline) -> list[str]:
    """Return the extras of steps that are left out, as they are not installed."""
    extras = {step.extra for step in pipeline.steps.values()}
    return [extra for extra, package in EXTRAS.items() if extra in extras and not find_spec(package)]


def report_step(pipeline: Pipeline, out: Path, facts: Mapping[str, str]) -> Step:
    """Return the step that every run ends with; `facts` say how each of the others stands."""
    folder = out / REPORT
    published = ("--published",) if pipeline.published else ()
    return Step(
        name=REPORT,
        family=REPORT,
        words=("report", str(out), "--out", str(folder), *published),
        launcher=(),
        folder=folder,
        makes=(folder / "report.html", folder / "report.json"),
        after=(),
        needs=(),
        data={},
        facts=facts,
    )


class _Plan:
    def __init__(self, recipe: Recipe, pipeline: Pipeline, out: Path) -> None:
        self._recipe, self._pipeline, self._out = recipe, pipeline, out
        missing = missing_extras(pipeline)
        self._steps = {name: step for name, step in pipeline.steps.items() if step.extra not in missing}
        items = [(name, each) for name, step in self._steps.items() for each in step.each or ("",)]
        self._items = {_title(*item): item for item in items}  # a step's name → its name in the pipeline, its item
        families = [name for name, step in self._steps.items() if step.each]
        names = [REPORT, *(_title(*item) for item in items), *families, *pipeline.data]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise Invalid(f"steps.{twice[0]}", "means two things; give that step or those data another name")
        self._values = common_values(recipe, pipeline)
        self._values |= {f"data.{name}": place.path for name, place in pipeline.data.items()}
        same = json.dumps(lasting(recipe, FREE_ON_RESUME), sort_keys=True)
        self._training = hashlib.sha256(same.encode()).hexdigest()

    def steps(self) -> list[Step]:
        return [self._step(*item) for item in self._items.values()]

    def _step(self, name: str, each: str) -> Step:
        step, where, title = self._steps[name], f"steps.{name}", _title(name, each)
        verb, folder = _verb(step, where), self._out / title
        after, data = self._needed(step, each, where)
        common, others = self._values | _item(each), {*self._items, *self._pipeline.data}
        values = common | {need: str(self._out / other) for need, other in after.items()}
        values |= {need: place.path for need, place in data.items()}
        options = resolved(step.options, values, f"{where}.with", others)
        if verb.takes_fields and not isinstance(options.get(SET, {}), Mapping):
            raise Invalid(f"{where}.with.{SET}", "is no mapping; write FIELD: VALUE")
        facts = {}
        if verb.takes_recipe and "recipe" not in options:
            if step.uses == TRAIN:
                self._check_training(name)
            options, facts = {"recipe": str(self._out / TRAINING)} | options, {"recipe": self._training}
        launcher = self._pipeline.launcher if step.launcher is None else step.launcher
        return Step(
            name=title,
            family=name,
            words=verb.command(options, folder),
            launcher=_words(resolved(launcher, common, f"{where}.launcher"), where),
            folder=folder,
            makes=self._made(name, each),
            after=tuple(after.values()),
            needs=tuple(path for other in after.values() for path in self._made(*self._items[other])),
            data={need: place for need, place in data.items() if place.path is not None},
            facts=facts,
            control=step.control,
            uses=step.uses,
            options=options,
        )

    def _needed(self, step: PipelineStep, each: str, where: str) -> tuple[dict[str, str], dict[str, DataPlace]]:
        """Return what the step calls each step that it needs, with that one's name, and the data that it needs."""
        after, data = {}, {}
        for need in resolved(step.needs, _item(each), f"{where}.needs"):
            same = _title(need, each)  # of a step that has several, the one for the same item
            if need in self._pipeline.data:
                data[need] = self._pipeline.data[need]
            elif need in self._items or same in self._items:
                after[need] = need if need in self._items else same
            else:
                known = {*self._pipeline.data, *self._items}
                raise Unknown(
                    f"{where}.needs", f"there is no step and no data '{need}'; {did_you_mean(need, known)}"
                )
        return after, data

    def _made(self, name: str, each: str) -> tuple[Path, ...]:
        step = self._steps[name]
        made = _verb(step, f"steps.{name}").makes if step.makes is None else step.makes
        if not made:
            raise Missing(f"steps.{name}.makes", "field required; name files that prove the step done")
        files = resolved(made, _item(each), f"steps.{name}.makes")
        return tuple(self._out / _title(name, each) / file for file in files)

    def _check_training(self, name: str) -> None:
        if not any("tower" in stage.train for stage in self._recipe.stages):
            raise Mismatch(
                f"steps.{name}",
                f"recipe '{self._recipe.name}' trains no tower, so there is nothing to measure; use `diva train`",
            )


def _verb(step: PipelineStep, where: str) -> Verb:
    try:
        return find_verb(step.uses)
    except InputError as error:
        raise error.within(f"{where}.uses") from error


def _title(name: str, each: str) -> str:
    return f"{name}-{each}" if each else name


def _item(each: str) -> dict[str, str]:
    return {"each": each} if each else {}


def _words(text: str | None, where: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text or ""))
    except ValueError as error:
        raise Damaged(f"{where}.launcher", f"cannot be read ({error}); close its quotes") from error


def _in_order(steps: Sequence[Step]) -> list[Step]:
    try:
        TopologicalSorter({step.name: step.after for step in steps}).prepare()
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise Invalid("steps", circle, "each of these needs the next; break the circle") from error
    if len(steps) > MOST_STEPS:
        raise Invalid("steps", f"there are {len(steps)}; split them into pipelines of at most {MOST_STEPS}")
    ordered: dict[str, Step] = {}

    def put(step: Step) -> None:
        for other in steps:
            if other.name in step.after and other.name not in ordered:
                put(other)
        ordered.setdefault(step.name, step)

    for step in steps:
        put(step)
    return list(ordered.values())
