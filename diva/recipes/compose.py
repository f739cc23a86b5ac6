"""A packaged recipe is composed of a method, a tower and, where it names one, a variant of the method.

`METHOD/TOWER-VARIANT` is what `methods/METHOD.yaml` says, changed by `towers/TOWER.yaml`, by what the method says
of this tower under `towers`, and then by `variants/METHOD/VARIANT.yaml` and by what that says of the tower. The
`title` of a tower's file stands in the descriptions for `{tower}`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from diva.errors import Unknown, did_you_mean
from diva.recipes.files import FOLDER, merged, read_fields
from diva.tower_names import check_tower


class PackagedRecipes(Mapping[str, dict[str, Any]]):
    """Every recipe that can be composed, by its name."""

    def __init__(self) -> None:
        self.methods, self.towers = _stems(FOLDER / "methods"), _stems(FOLDER / "towers")
        self._kinds = [
            (method, variant) for method in self.methods for variant in ("", *_stems(FOLDER / "variants" / method))
        ]
        self._parts = {
            _name(method, tower, variant): (method, tower, variant)
            for method, variant in self._kinds
            for tower in self.towers
        }

    def __getitem__(self, name: str) -> dict[str, Any]:
        method, tower, variant = self._parts[name]
        return _composed(method, tower, _part(f"towers/{tower}"), variant)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def described(self) -> dict[str, str]:
        """Return what each `METHOD/TOWER` and `METHOD/TOWER-VARIANT` is, whatever the tower."""
        return {
            _name(method, "TOWER", variant): _own(method, variant)[-1]["description"].replace("{tower}", "TOWER")
            for method, variant in self._kinds
        }

    def of(self, name: str, tower: str) -> dict[str, Any]:
        """Return the fields of `METHOD` or `METHOD/VARIANT` for a tower that has a file here, or for any other.

        Raises:
            InputError: there is no such method, variant or tower.
        """
        method, _, variant = name.partition("/")
        if (method, variant) not in self._kinds:
            known = [f"{each}/{one}".rstrip("/") for each, one in self._kinds]
            raise Unknown(
                name, f"is not a method or a method's variant, and --tower needs one; {did_you_mean(name, known)}"
            )
        if tower in self.towers:
            return self[_name(method, tower, variant)]
        check_tower(tower, "--tower")
        title = Path(tower).name or tower
        return _composed(method, title, {"title": title, "tower": {"name": tower, "checkpoint": None}}, variant)


def _composed(method: str, tower: str, fields: dict[str, Any], variant: str) -> dict[str, Any]:
    """Return the fields of a recipe; `fields` are those of the tower's file."""
    parts = _own(method, variant)
    ours = [part.pop("towers", {}).get(tower, {}) for part in parts]
    title = fields.pop("title")
    recipe = merged(parts[0], fields, ours[0], *parts[1:], *ours[1:])
    return recipe | {
        "name": _name(method, tower, variant),
        "description": recipe["description"].replace("{tower}", title),
    }


def _own(method: str, variant: str) -> list[dict[str, Any]]:
    """Return what the files of a method and of its variant, where there is one, say."""
    names = [f"methods/{method}", f"variants/{method}/{variant}"]
    return [_part(name) for name in names[: 2 if variant else 1]]


def _part(name: str) -> dict[str, Any]:
    return read_fields(str(FOLDER / f"{name}.yaml"), {})


def _stems(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def _name(method: str, tower: str, variant: str) -> str:
    return f"{method}/{tower}-{variant}" if variant else f"{method}/{tower}"
