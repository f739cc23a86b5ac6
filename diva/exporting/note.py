"""The note that travels with an exported folder: the recipe of its tower, and how much of it is trained."""

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from diva.documents import read_model, read_yaml
from diva.run_folder import RunFolder

NOTE: Final = "provenance.json"


class Note(BaseModel):
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


def read_note(place: Path) -> Note:
    """Return what lies beside the tower at `place`: an export's note, or the recipe of a run.

    Args:
        place: a weights file, the folder of a tower, or a run's folder.

    Raises:
        InputError: the note or the recipe cannot be read.
    """
    path = (place if place.is_dir() else place.parent) / NOTE
    if path.exists():
        note = read_model(path, Note, "export the tower again, or remove it")
        if note != Note():  # a run of an earlier version has an empty one beside its tower
            return note
    run = RunFolder.around(place)
    return Note(recipe=_name(run.recipe) if run else None)


def write_note(note: Note, folder: Path) -> None:
    """Write the note into the existing `folder`."""
    (folder / NOTE).write_text(note.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _name(recipe: Path) -> str | None:
    fields = read_yaml(recipe)
    name = fields.get("name") if isinstance(fields, dict) else None
    return str(name) if name else None
