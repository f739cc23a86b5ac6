"""A packaged recipe is composed of a method, a tower and, where it names one, a variant of the method.

`METHOD/TOWER-VARIANT` is what `methods/METHOD.yaml` says, changed by `towers/TOWER.yaml`, by what the method says
of this tower under `towers`, and then by `variants/METHOD/VARIANT.yaml` and by what that says of the tower. The
`title` of a tower's file stands in the descriptions for `{tower}`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from diva.errors import InputError, did_you_mean
from diva.recipes.files import FOLDER, merged, read_fields


class PackagedRecipes(Mapping[str, dict[str, Any]]):
    """Every recipe that can be composed, by its name."""

    def __init__(self) -> None:
        self.methods = _stems(FOLDER / "methods")
        self.towers = _stems(FOLDER / "towers")
        self.variants = {method: _stems(FOLDER / "variants" / method) for method in self.methods}

    def __getitem__(self, name: str) -> dict[str, Any]:
        for method in self.methods:
            for tower in self.towers:
                for variant in ("", *self.variants[method]):
                    if name == _name(method, tower, variant):
                        return _composed(method, tower, _part(f"towers/{tower}"), variant)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        for method in self.methods:
            for tower in self.towers:
                yield from (_name(method, tower, variant) for variant in ("", *self.variants[method]))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def described(self) -> dict[str, str]:
        """Return what each `METHOD/TOWER` and `METHOD/TOWER-VARIANT` is, whatever the tower."""
        parts = {
            _name(method, "TOWER", variant): f"variants/{method}/{variant}" if variant else f"methods/{method}"
            for method in self.methods
            for variant in ("", *self.variants[method])
        }
        return {name: _part(part)["description"].replace("{tower}", "TOWER") for name, part in parts.items()}

    def of(self, name: str, tower: str) -> dict[str, Any]:
        """Return the fields of `METHOD` or `METHOD/VARIANT` for a tower that has a file here, or for any other.

        Raises:
            InputError: there is no such method or variant.
        """
        method, _, variant = name.partition("/")
        if method not in self.methods or (variant and variant not in self.variants[method]):
            known = [*self.methods, *(f"{each}/{one}" for each in self.methods for one in self.variants[each])]
            raise InputError(
                f"{name}: is not a method or a variant of one, which --tower needs; {did_you_mean(name, known)}"
            )
        if tower in self.towers:
            return self[_name(method, tower, variant)]
        title = Path(tower).name or tower
        return _composed(method, title, {"title": title, "tower": {"name": tower, "checkpoint": None}}, variant)


def _composed(method: str, tower: str, fields: dict[str, Any], variant: str) -> dict[str, Any]:
    """Return the fields of a recipe; `fields` are those of the tower's file."""
    parts = [_part(f"methods/{method}"), *([_part(f"variants/{method}/{variant}")] if variant else [])]
    ours = [part.pop("towers", {}).get(tower, {}) for part in parts]
    title = fields.pop("title")
    recipe = merged(parts[0], fields, ours[0], *parts[1:], *ours[1:])
    return recipe | {
        "name": _name(method, tower, variant),
        "description": recipe["description"].replace("{tower}", title),
    }


def _part(name: str) -> dict[str, Any]:
    return read_fields(str(FOLDER / f"{name}.yaml"), {})


def _stems(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def _name(method: str, tower: str, variant: str) -> str:
    return f"{method}/{tower}{'-' if variant else ''}{variant}"
