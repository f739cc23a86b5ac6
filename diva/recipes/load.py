"""Loading a recipe: its fields, overrides, the schema, and what is wrong with it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from diva.atomic import replacing
from diva.documents import parse_yaml
from diva.errors import InputError, Invalid, did_you_mean
from diva.recipes.compose import PackagedRecipes
from diva.recipes.files import Named, read_fields
from diva.recipes.interpolate import interpolate
from diva.recipes.schema import Recipe
from diva.recipes.section import Section

Schema = TypeVar("Schema", bound=Section)


def load_recipe(name: str, overrides: Sequence[str] = (), tower: str | None = None) -> Recipe:
    """Load a recipe by its packaged name or its path, and apply `key=value` overrides in order.

    With `tower`, a packaged tower's name or any name or path that `diva.towers.load_clip` takes, `name` is
    `METHOD` or `METHOD/VARIANT`, and the recipe is composed for that tower.

    A recipe that holds `extends: NAME` starts from that one, and with a list of names from each in turn: mappings
    merge, lists are replaced, and so is a part whose `kind` or `type` changes. A path counts from the current
    folder there as well. An override replaces the value that it names. `${field}` is another field's value
    (`diva.recipes.interpolate`).

    Raises:
        InputError: no such recipe, not YAML, a recipe that extends itself, an unknown field, a wrong type or a
            missing value.
    """
    packaged = PackagedRecipes()
    if tower is not None:
        return _resolved(packaged.of(name, tower), name, overrides, Recipe)
    if name in packaged.methods:
        raise Invalid(name, f"is a method; add its tower: {name}/{packaged.towers[0]}, or --tower")
    return load_section(name, overrides, Recipe, packaged)


def load_section(name: str, overrides: Sequence[str], schema: type[Schema], packaged: Named) -> Schema:
    """Load a file of the fields of `schema` as `load_recipe` does; `packaged` are those that go by a name.

    Raises:
        InputError: as for `load_recipe`.
    """
    return _resolved(read_fields(name, packaged), name, overrides, schema)


def with_overrides(fields: Any, overrides: Sequence[str]) -> Any:
    """Return `fields` with `key=value` overrides applied in order.

    Raises:
        InputError: one is not written so, or its value is not YAML.
    """
    for override in overrides:
        fields = _changed(fields, override)
    return fields


def validated(fields: Any, name: str, schema: type[Schema]) -> Schema:
    """Return `fields` as a `schema`.

    Raises:
        InputError: a field is unknown, missing or of a wrong type; the sentence begins with `name`.
    """
    try:
        return schema.model_validate(fields)
    except ValidationError as error:
        raise Invalid(name, f"{_sentence(error)}") from error


def _resolved(fields: Any, name: str, overrides: Sequence[str], schema: type[Schema]) -> Schema:
    fields = with_overrides(fields, overrides)
    try:
        fields = interpolate(fields)
    except InputError as error:
        raise error.within(name) from error
    return validated(fields, name, schema)


def to_yaml(recipe: Section) -> str:
    """Return the resolved recipe, every field with its value, as YAML."""
    text: str = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text


def write_recipe(recipe: Section, path: Path) -> None:
    """Write the resolved recipe as `to_yaml` has it; an existing file is replaced only by a complete one.

    Raises:
        RunError: the place cannot be written to.
    """
    with replacing(path) as temporary:
        temporary.write_text(to_yaml(recipe), encoding="utf-8")


def _changed(fields: Any, override: str) -> Any:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise Invalid(override, "an override is written key=value, for example training.micro_batch=8")
    try:
        value = parse_yaml(text, key)
    except InputError as error:
        raise type(error)(*error.where, f"{error.args[-1]}; did you quote the whole override?") from error
    return _with(fields, key.split("."), value, key)


def _with(part: Any, names: Sequence[str], value: Any, key: str) -> Any:
    """Return `part` with `value` under `names`, which `key` consists of; mappings that are missing are made."""
    if not names:
        return value
    name, *rest = names
    if isinstance(part, list):
        if not name.isdecimal() or int(name) >= len(part):
            raise Invalid(key, "the list has no such item (the first is 0); to add one, give the whole list")
        index = int(name)
        return [*part[:index], _with(part[index], rest, value, key), *part[index + 1 :]]
    mapping = part if isinstance(part, dict) else {}
    return mapping | {name: _with(mapping.get(name), rest, value, key)}


def _tags(section: type[Section]) -> Iterator[str]:
    """Yield what `kind` and `type` may be in any part of a recipe."""
    for name in ("kind", "type"):
        if name in section.model_fields:
            yield section.model_fields[name].default
    for narrower in section.__subclasses__():
        yield from _tags(narrower)


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    # the location of a field in a union also holds the union member's tag; a recipe's author never wrote it
    tags = set(_tags(Section))
    where = ".".join(str(part) for part in first["loc"] if part not in tags and "[" not in str(part))
    return f"{where}: {_reason(first)}" if where else _reason(first)


def _reason(error: Any) -> str:
    """Return what is wrong with a field, in words of YAML where pydantic's own are of Python."""
    context = error.get("ctx", {})
    match error["type"]:
        case "model_type" | "model_attributes_type" | "dict_type":
            return "give a mapping of fields"
        case "tuple_type":
            return "give a list, such as [a, b]"
        case "union_tag_not_found":
            return f"give its {context['discriminator']} as well"
        case "union_tag_invalid":
            tag, valid = context["tag"], context["expected_tags"].replace("'", "").split(", ")
            name = context["discriminator"].strip("'")
            return f"unknown {name} '{tag}'; {did_you_mean(tag, valid)}"
    message: str = error["msg"]
    return f"{message[0].lower()}{message[1:]}"
