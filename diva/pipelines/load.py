"""Loading a pipeline: its file, what differs with the recipe, overrides, and what is wrong with it."""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from diva.errors import Invalid
from diva.pipelines.references import common_values, resolved
from diva.pipelines.schema import Change, Pipeline
from diva.recipes import Recipe
from diva.recipes.files import merged, read_fields
from diva.recipes.load import validated, with_overrides
from diva.recipes.resume import lasting

FOLDER = Path(__file__).parent
DEFAULT = "paper"
PREFIX = "pipeline."  # of overrides that change the pipeline in place of the recipe


class PackagedPipelines(Mapping[str, dict[str, Any]]):
    """The pipelines that ship with the package, each as it is for one recipe."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = lasting(recipe)
        self._fields = {path.stem: read_fields(str(path), {}) for path in sorted(FOLDER.glob("*.yaml"))}
        self._made_for = {name: fields.pop("where", None) for name, fields in self._fields.items()}

    def __getitem__(self, name: str) -> dict[str, Any]:
        return _changed(self._fields[name], self._recipe, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def default(self) -> str:
        """Return the pipeline that says by a `where` of its own that it is made for this recipe, or the paper's."""
        fitting = (name for name, where in self._made_for.items() if where and _fits(where, self._recipe))
        return next(fitting, DEFAULT)


def load_pipeline(name: str | None, recipe: Recipe, overrides: Sequence[str] = ()) -> Pipeline:
    """Load a pipeline by its packaged name or its path, and apply `pipeline.KEY=VALUE` overrides in order.

    One that holds `extends: NAME` starts from that one, and merges with it as recipes do. Then come those of its
    `changes` whose `where` the recipe fits.

    Args:
        name: None for the one that is made for the recipe.

    Raises:
        InputError: no such pipeline, not YAML, or a field that is not as `diva.pipelines.schema` says.
    """
    packaged = PackagedPipelines(recipe)
    name = name or packaged.default()
    fields = _changed(read_fields(name, packaged, "pipeline"), lasting(recipe), name)
    fields = with_overrides(fields, [each.removeprefix(PREFIX) for each in overrides])
    if "stages" in fields:  # of 0.1
        raise Invalid(
            name,
            "stages",
            "pipelines have 'steps' in place of 'stages', each with 'uses' and 'with' in place of"
            " 'command'; see docs/run.md",
        )
    pipeline = validated(fields, name, Pipeline)
    values, data = common_values(recipe, pipeline), {}
    for key, place in pipeline.data.items():
        where = f"{name}: data.{key}"
        path = values[f"data.{key}"] = resolved(place.path, values, f"{where}.path")
        source = resolved(place.source, values | {"path": path}, f"{where}.source")
        data[key] = place.model_copy(update={"path": path, "source": source or ""})
    return pipeline.model_copy(update={"name": name, "data": data})


def _changed(fields: dict[str, Any], recipe: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the fields with those of their `changes` that fit the recipe merged in."""
    changes = fields.get("changes") or {}
    if not isinstance(changes, dict):
        raise Invalid(name, "changes", "give a mapping of changes by name")
    fields = {key: value for key, value in fields.items() if key != "changes"}
    for key, change in changes.items():
        checked = validated(change, f"{name}: changes.{key}", Change)
        if _fits(checked.where, recipe):
            fields = merged(fields, {"data": checked.data, "steps": checked.steps})
    return fields


def _fits(where: Mapping[str, Any], recipe: Mapping[str, Any]) -> bool:
    def fits(value: Any, wanted: Any) -> bool:
        patterns = wanted if isinstance(wanted, tuple) else (wanted,)
        return any(fnmatchcase(str(value), str(pattern)) for pattern in patterns)

    return all(fits(recipe.get(field), wanted) for field, wanted in where.items())
