"""What the study runs, fixed before it is run: settings, bases, seeds."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from diva.documents import read_yaml
from diva.errors import Invalid
from diva_benchmarks.miniworld.fit import Schedule
from diva_benchmarks.miniworld.measure import Sizes

PLAN = Path(__file__).with_name("plan.yaml")
Teacher = Literal["trained", "early", "untrained", "decoder", "labels"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Setting(_Strict):
    """One way of training a tower.

    Attributes:
        name: unique, as the table shows it.
        group: the question that it belongs to.
        method, preserved_by: what the report sets beside each other; the method is called like the setting unless
            given. They change no row, so no hash depends on them.
        judged: share of the trained weights in the average with the original that the setting is judged by; null
            for the trained weights themselves. It changes no row either.
        recipe: packaged recipe.
        change: overrides of the recipe, `key=value`.
        data: share of the training images.
        teacher: the base's teacher, one that was stopped early, one that was never trained, the base's un²CLIP
            decoder, or the scenes' true details in place of a teacher's verdicts.
        statements: changes to the list `miniature` where the recipe learns verdicts; a group that is null is left
            out.
    """

    name: str
    group: str
    method: str = Field(default="", exclude=True)
    preserved_by: str = Field(default="", exclude=True)
    judged: float | None = Field(default=None, exclude=True)
    recipe: str
    change: tuple[str, ...] = ()
    data: float = 1.0
    teacher: Teacher = "trained"
    statements: dict[str, Any] = Field(default_factory=dict, exclude_if=lambda changed: not changed)


class Distillation(_Strict):
    """A control on the same images without a teacher, see `diva_benchmarks.miniworld.self_distillation`.

    Attributes:
        name: unique, as the table shows it.
        group: the question that it belongs to.
        self_distillation: steps, batch and learning rate.
    """

    name: str
    group: str
    self_distillation: Schedule


class Plan(_Strict):
    """The whole study.

    Attributes:
        bases: seeds of the independent pairs of CLIP and teacher; none of them was used to choose a setting.
        seeds: of data and training, for every base.
        averages: shares of a trained tower in averages with its original, measured for every setting of `averaged`.
            Where a recipe keeps a moving average of the weights, that is measured as well.
        averaged: names of settings.
        primary: names of settings. With them, the study goes base by base, and runs these first, with all seeds.
            They change no row, so no hash depends on them.
        images: training images of the world.
        sizes: how much each tower is measured on.
        early_steps: updates of the early teacher.
        change: overrides of every setting's recipe.
        settings: what is compared.
    """

    bases: tuple[int, ...]
    seeds: tuple[int, ...]
    averages: tuple[float, ...]
    averaged: tuple[str, ...]
    primary: tuple[str, ...] = Field(default=(), exclude=True)
    images: int
    sizes: Sizes
    early_steps: int
    change: tuple[str, ...] = ()
    settings: tuple[Setting | Distillation, ...]

    @model_validator(mode="after")
    def _names_are_unique_and_known(self) -> Self:
        names = [setting.name for setting in self.settings]
        if len(set(names)) < len(names):
            raise ValueError("two settings share a name")
        for field, named in (("averaged", self.averaged), ("primary", self.primary)):
            if unknown := set(named) - set(names):
                raise ValueError(f"{field} names no setting: {', '.join(sorted(unknown))}")
        for setting in self.settings:
            share = getattr(setting, "judged", None)
            if share is not None and not (setting.name in self.averaged and share in self.averages):
                raise ValueError(f"{setting.name} is judged by an average that is not measured")
        return self

    @property
    def sha256(self) -> str:
        """Tells plans apart."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def terms(self, name: str) -> str:
        """Return a hash of all that the plan says of how rows of the setting `name` are made.

        It is another setting's, base's or seed's that may be added without it; the rows that there are stay good.
        A name of no setting stands for the untrained tower.
        """
        setting = next((each for each in self.settings if each.name == name), None)
        said: dict[str, Any] = {"sizes": self.sizes.model_dump()}
        if setting:
            said |= self.model_dump(include={"images", "early_steps", "change"})
            said |= {"setting": setting.model_dump(), "averages": self.averages if name in self.averaged else ()}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def read_plan(path: Path = PLAN) -> Plan:
    """Read a plan.

    Raises:
        InputError: the file is missing or is not a plan.
    """
    try:
        return Plan.model_validate(read_yaml(path))
    except ValidationError as error:
        raise Invalid(path, f"is not a plan of the study ({str(error).splitlines()[0]}); fix it") from error
