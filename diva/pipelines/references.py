"""`${name}` in a pipeline: one of the values that a text may name, and nothing else: no environment, no file."""

import re
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from typing import Any

from diva.errors import Invalid, Unknown, did_you_mean
from diva.pipelines.schema import Pipeline
from diva.recipes import Recipe
from diva.recipes.resume import lasting

PACKAGES = ("diva", "diva_downstream")
_REFERENCE = re.compile(r"\$\{([^${}]*)\}")


def common_values(recipe: Recipe, pipeline: Pipeline) -> dict[str, Any]:
    """Return what every text of a pipeline may name."""
    own = {"device": pipeline.device, "processes": pipeline.processes}
    specs = {name: find_spec(name) for name in PACKAGES}
    packages = {name: next(iter(spec.submodule_search_locations or ())) for name, spec in specs.items() if spec}
    parts = {"recipe": lasting(recipe), "pipeline": own, "packages": packages}
    return {f"{part}.{name}": value for part, named in parts.items() for name, value in named.items()}


def resolved(value: Any, values: Mapping[str, Any], where: str, others: Collection[str] = ()) -> Any:
    """Return `value` with every `${name}` in it, or in the texts that it consists of, replaced.

    A text that is nothing but `${name}` becomes the value itself, and one that names a null becomes null; a name
    may hold another, `${test-${name}}`.

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
    while found := _REFERENCE.search(value):  # those within others first
        name = found[1]
        if name not in values:
            hint = f"add '{name}' to its needs" if name in others else did_you_mean(name, {*values, *others})
            raise Unknown(where, f"'{found[0]}' stands for nothing here; {hint}")
        if isinstance(values[name], str) and "${" in values[name]:
            raise Invalid(where, f"'{found[0]}' stands for '{values[name]}', a reference itself; write it out")
        if found[0] == value or values[name] is None:
            return values[name]
        value = value[: found.start()] + str(values[name]) + value[found.end() :]
    if "${" in value:
        raise Invalid(where, f"'{value}' cannot be read; close its ${{…}}")
    return value
