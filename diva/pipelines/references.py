"""`${name}` in a pipeline: one of the values that a text may name, and nothing else: no environment, no file."""

import re
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from typing import Any

from diva.errors import InputError, did_you_mean
from diva.pipelines.schema import Pipeline
from diva.recipes import Recipe
from diva.recipes.resume import lasting

PACKAGES = ("diva", "diva_downstream")
_REFERENCE = re.compile(r"\$\{([^${}]*)\}")


def recipe_values(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe's fields by dotted name."""
    return lasting(recipe)


def common_values(recipe: Recipe, pipeline: Pipeline) -> dict[str, Any]:
    """Return what every text of a pipeline may name."""
    own = {"device": pipeline.device, "processes": pipeline.processes}
    specs = {name: find_spec(name) for name in PACKAGES}
    packages = {name: next(iter(spec.submodule_search_locations or ())) for name, spec in specs.items() if spec}
    parts = {"recipe": recipe_values(recipe), "pipeline": own, "packages": packages}
    return {f"{part}.{name}": value for part, named in parts.items() for name, value in named.items()}


def resolved(value: Any, values: Mapping[str, Any], where: str, others: Collection[str] = ()) -> Any:
    """Return `value` with every `${name}` in it, or in the texts that it consists of, replaced.

    A text that is nothing but `${name}` becomes the value itself, and one that names a null becomes null.

    Args:
        others: names that would be among the values if the step needed them.

    Raises:
        InputError: a name stands for nothing; the sentence begins with `where`.
    """
    if isinstance(value, Mapping):
        return {key: resolved(each, values, f"{where}.{key}", others) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [resolved(each, values, f"{where}.{number}", others) for number, each in enumerate(value)]
    if not isinstance(value, str):
        return value
    names = _REFERENCE.findall(value)
    for name in names:
        if name not in values:
            hint = f"add '{name}' to its needs" if name in others else did_you_mean(name, {*values, *others})
            raise InputError(f"{where}: '${{{name}}}' stands for nothing here; {hint}")
    if "${" in _REFERENCE.sub("", value):
        raise InputError(f"{where}: '{value}' cannot be read; close its ${{…}}")
    if any(values[name] is None for name in names):
        return None
    whole = _REFERENCE.fullmatch(value)
    return values[whole[1]] if whole else _REFERENCE.sub(lambda each: str(values[each[1]]), value)
