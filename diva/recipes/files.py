"""Reading a recipe's file together with all that it extends."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diva.documents import read_yaml
from diva.errors import Invalid, Missing, Unknown, did_you_mean

FOLDER = Path(__file__).parent
DEEPEST = 16  # recipes that extend each other in a row
Named = Mapping[str, Path] | Mapping[str, dict[str, Any]]  # the recipes that go by a name: a file, or its fields


def read_fields(name: str, named: Named, kind: str = "recipe") -> dict[str, Any]:
    """Return the fields of the recipe `name`, one of `named` or a file, over those of all that it extends.

    Args:
        kind: what sentences call it.

    Raises:
        InputError: no such recipe, not YAML, or a recipe that extends itself.
    """
    return _read(name, named, kind, {}, ())


def merged(*parts: Any) -> Any:
    """Merge mappings field by field, the later over the earlier; lists and parts of another kind are replaced."""
    whole: Any = {}
    for part in parts:
        whole = _merge(whole, part)
    return whole


def _read(
    name: str, named: Named, kind: str, known: dict[Path, dict[str, Any]], extending: tuple[Path, ...]
) -> dict[str, Any]:
    """Do so; `known` are files that have been read, and `extending` those that led to this one."""
    found = named.get(name)
    if isinstance(found, dict):
        return found
    path = found or Path(name)
    where = f"{extending[-1]}: extends: {name}" if extending else name
    if path in known:
        return known[path]
    if path in extending:
        raise Invalid(where, f"extends this {kind} in turn, which cannot start from itself; name another")
    if len(extending) > DEEPEST:
        raise Invalid(where, f"more than {DEEPEST} {kind}s extend each other; merge some of them")
    if not os.path.isfile(path):  # Path's own raises where the name is too long
        if name.endswith((".yaml", ".yml")):
            raise Missing(where, f"no such {kind} file; give its path, or a packaged {kind}'s name without .yaml")
        raise Unknown(where, f"no such {kind} file or packaged {kind}; {did_you_mean(name, named)}")
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise Invalid(path, f"a {kind} is a mapping of fields; see diva/{kind}s for examples")
    extends = document.pop("extends", [])
    parents = [extends] if isinstance(extends, str) else extends
    if not (isinstance(parents, list) and all(isinstance(parent, str) for parent in parents)):
        raise Invalid(path, "extends", f"give the {kind} that this one changes, or a list of such names")
    bases = (_read(parent, named, kind, known, (*extending, path)) for parent in parents)
    known[path] = merged(*bases, document)
    return known[path]


def _merge(base: Any, change: Any) -> Any:
    """Merge mappings field by field, but start afresh where the change names another kind or type of part."""
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    if any(name in change and change[name] != base.get(name) for name in ("kind", "type")):
        return change
    return base | {key: _merge(base[key], value) if key in base else value for key, value in change.items()}
