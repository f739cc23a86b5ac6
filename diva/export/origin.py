"""Which recipe a tower comes from, and how much of it is trained: a note that travels with an exported folder."""

from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from diva.errors import InputError

ORIGIN: Final = "provenance.json"
RECIPE: Final = "recipe.yaml"


class Origin(BaseModel):
    """Where a tower comes from, as far as is known.

    Attributes:
        recipe: the name of the recipe that trained it.
        share: of the trained tower, where it was averaged with its base.
        base_sha256: of the base's weights file.
        trained_sha256: of the trained tower's weights file, which was exported.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str | None = None
    share: float | None = Field(default=None, ge=0, le=1)
    base_sha256: str | None = None
    trained_sha256: str | None = None


def read_origin(place: Path) -> Origin:
    """Return what lies beside the tower at `place`: an export's note, or the recipe of a run.

    Args:
        place: a weights file, the folder of a tower, or a run's folder.

    Raises:
        InputError: the note or the recipe cannot be read.
    """
    folder = place if place.is_dir() else place.parent
    if (folder / ORIGIN).is_file():
        return _read_note(folder / ORIGIN)
    # a run's tower lies in a folder of the run's
    recipe = next((path / RECIPE for path in (folder, folder.parent) if (path / RECIPE).is_file()), None)
    return Origin(recipe=_name(recipe) if recipe else None)


def write_origin(origin: Origin, folder: Path) -> None:
    """Write the note into the existing `folder`."""
    (folder / ORIGIN).write_text(origin.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _read_note(path: Path) -> Origin:
    try:
        return Origin.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(f"{path}: is no note of `diva export`; export the tower again, or remove it") from error


def _name(recipe: Path) -> str | None:
    try:
        fields = yaml.safe_load(recipe.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{recipe}: cannot be read as YAML; mend or remove it") from error
    name = fields.get("name") if isinstance(fields, dict) else None
    return str(name) if name else None
