"""What the study found, one row a tower, kept in a file of its own as soon as it is measured."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.miniworld.measure import Measured
from diva.atomic import replacing
from diva.errors import InputError

ORIGINAL = "no training"


class Row(BaseModel):
    """One tower of the study.

    Attributes:
        plan: SHA-256 of the plan.
        setting: its name; `ORIGINAL` for the tower of the base itself.
        share: of the trained tower in an average with the original; 1 for the trained tower itself.
        base, seed: of the run; the original has no seed.
        measured: on the test scenes.
        gap: how much worse the teacher denoises under another image's condition, where that was measured.
        warnings: what the diagnostics said while it trained.
        seconds: wall time of the training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    plan: str
    setting: str
    share: float = 1.0
    base: int
    seed: int | None
    measured: Measured
    gap: float | None = None
    warnings: tuple[str, ...] = ()
    seconds: float | None = None


def row_path(folder: Path, setting: str, base: int, seed: int | None) -> Path:
    """Return the file of the rows of one run: the trained tower and its averages."""
    word = "".join(letter if letter.isalnum() else "-" for letter in setting)
    return folder / (f"{word}--base{base}" + ("" if seed is None else f"--seed{seed}") + ".json")


class _Rows(BaseModel):
    rows: tuple[Row, ...]


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Write the rows of one run; the file appears complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(_Rows(rows=tuple(rows)).model_dump_json(indent=1) + "\n")


def read_rows(folder: Path, plan: str) -> list[Row]:
    """Read every row in `folder`.

    Raises:
        InputError: a file is broken, or was measured under another plan.
    """
    found: list[Row] = []
    for path in sorted(folder.glob("*.json")):
        try:
            rows = _Rows.model_validate_json(path.read_bytes()).rows
        except ValidationError as error:
            raise InputError(f"{path}: is no row of the study; remove it and run again") from error
        if any(row.plan != plan for row in rows):
            raise InputError(f"{path}: was measured under another plan; name another folder with --out")
        found += rows
    return found
