"""Finding a recipe, following what it extends, applying overrides, and saying what is wrong with it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from diva.atomic import replacing
from diva.documents import parse_yaml, read_yaml
from diva.errors import InputError, did_you_mean
from diva.recipes.interpolate import interpolate
from diva.recipes.schema import Recipe
from diva.recipes.section import Section

FOLDER = Path(__file__).parent
DEEPEST = 16  # recipes that extend each other in a row
Schema = TypeVar("Schema", bound=Section)


def packaged_recipes(folder: Path = FOLDER) -> dict[str, Path]:
    """Return the recipes that ship in `folder`, by name such as `diva/openai-vit-l14-224`.

    A file or a folder whose name starts with an underscore holds parts that recipes extend, and none itself.
    """
    paths = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}
    return {name: path for name, path in paths.items() if "/_" not in f"/{name}"}


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Load a recipe by its packaged name or its path, and apply `key=value` overrides in order.

    A recipe that holds `extends: NAME` starts from that one, and with a list of names from each in turn: mappings
    merge, lists are replaced, and so is a part whose `kind` or `type` changes. A path counts from the current
    folder there as well. An override replaces the value that it names. `${field}` is another field's value
    (`diva.recipes.interpolate`).

    Raises:
        InputError: no such recipe, not YAML, a recipe that extends itself, an unknown field, a wrong type or a
            missing value.
    """
    return load_section(name, overrides, Recipe, packaged_recipes())


def load_section(name: str, overrides: Sequence[str], schema: type[Schema], packaged: Mapping[str, Path]) -> Schema:
    """Load a file of the fields of `schema` as `load_recipe` does; `packaged` are those that go by a name.

    Raises:
        InputError: as for `load_recipe`.
    """
    fields = _read(name, packaged, {})
    for override in overrides:
        fields = _changed(fields, override)
    try:
        return schema.model_validate(interpolate(fields))
    except ValidationError as error:
        raise InputError(f"{name}: {_sentence(error)}") from error
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


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


def _read(
    name: str, packaged: Mapping[str, Path], known: dict[Path, dict[str, Any]], extending: tuple[Path, ...] = ()
) -> dict[str, Any]:
    """Return the fields of a recipe and of all that it extends; `known` are files that have been read.

    `extending` are the files that led to it.
    """
    part = FOLDER / f"{name}.yaml"
    path = packaged.get(name) or (part if name.startswith("_") and part.is_file() else Path(name))
    where = f"{extending[-1]}: extends: {name}" if extending else name
    if path in known:
        return known[path]
    if path in extending:
        raise InputError(f"{where} leads back to this recipe, which cannot start from itself; name another")
    if len(extending) > DEEPEST:
        raise InputError(f"{where}: more than {DEEPEST} recipes extend each other; put some of them together")
    if not os.path.isfile(path):  # Path's own raises where the name is too long
        if name.endswith((".yaml", ".yml")):
            raise InputError(
                f"{where}: no such recipe file; give its path from here, or a packaged recipe's name without .yaml"
            )
        raise InputError(f"{where}: no such recipe file or packaged recipe; {did_you_mean(name, packaged)}")
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise InputError(f"{path}: a recipe is a mapping of fields; see diva/recipes for examples")
    extends = document.pop("extends", [])
    parents = [extends] if isinstance(extends, str) else extends
    if not (isinstance(parents, list) and all(isinstance(parent, str) for parent in parents)):
        raise InputError(f"{path}: extends: give the recipe that this one changes, or a list of such names")
    merged: Any = {}
    for each in (*(_read(parent, packaged, known, (*extending, path)) for parent in parents), document):
        merged = _merge(merged, each)
    known[path] = merged
    return known[path]


def _merge(base: Any, change: Any) -> Any:
    """Merge mappings field by field, but start afresh where the change names another kind or type of part."""
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    if any(name in change and change[name] != base.get(name) for name in ("kind", "type")):
        return change
    return base | {key: _merge(base[key], value) if key in base else value for key, value in change.items()}


def _changed(fields: Any, override: str) -> Any:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"'{override}': an override is written key=value, for example training.micro_batch=8")
    try:
        value = parse_yaml(text, key)
    except InputError as error:
        raise InputError(f"{error}; is the override quoted as a whole?") from error
    return _with(fields, key.split("."), value, key)


def _with(part: Any, names: Sequence[str], value: Any, key: str) -> Any:
    """Return `part` with `value` under `names`, which `key` consists of; mappings that are missing are made."""
    if not names:
        return value
    name, *rest = names
    if isinstance(part, list):
        if not name.isdecimal() or int(name) >= len(part):
            raise InputError(
                f"{key}: the list has no such item; the first is 0, and to add one give the whole list"
            )
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
    return f"{where or 'the recipe'}: {_reason(first)}"


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
