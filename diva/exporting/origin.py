"""Which recipe a tower comes from, and how much of it is trained: a note that travels with an exported folder."""

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from diva.documents import read_file, read_yaml
from diva.errors import InputError
from diva.run_folder import RunFolder

ORIGIN: Final = "provenance.json"


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
    note = _read_note(place if place.is_dir() else place.parent)
    if note is not None and note != Origin():  # a run of an earlier version has an empty one beside its tower
        return note
    run = RunFolder.around(place)
    return Origin(recipe=_name(run.recipe) if run else None)


def write_origin(origin: Origin, folder: Path) -> None:
    """Write the note into the existing `folder`."""
    (folder / ORIGIN).write_text(origin.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _read_note(folder: Path) -> Origin | None:
    path = folder / ORIGIN
    if not path.exists():
        return None
    try:
        return Origin.model_validate_json(read_file(path))
    except ValidationError as error:
        raise InputError(f"{path}: is no note of `diva export`; export the tower again, or remove it") from error


def _name(recipe: Path) -> str | None:
    fields = read_yaml(recipe)
    name = fields.get("name") if isinstance(fields, dict) else None
    return str(name) if name else None
