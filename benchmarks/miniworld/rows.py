"""What the study found, one row a tower, kept in a file of its own as soon as it is measured."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from diva.atomic import replacing
from diva.documents import read_file
from diva.errors import InputError
from diva_benchmarks.miniworld.measure import Measured
from diva_benchmarks.miniworld.plan import Plan
from diva_benchmarks.miniworld.summary import TRAINED

ORIGINAL = "no training"
MOVING_AVERAGE = "moving average"


class Gaps(BaseModel):
    """How much worse the teacher denoises under another image's condition than under the image's own.

    Attributes:
        first: soon after the start.
        before_tower: when the tower itself began to learn; null where it did so from the start.
        last: at the end.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: float
    before_tower: float | None
    last: float


class Run(BaseModel):
    """The training that a tower comes from.

    Attributes:
        gaps: where feedback was measured.
        warnings: what the diagnostics said.
        images: images seen, over all stages.
        cpu_seconds: of one core.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    gaps: Gaps | None
    warnings: tuple[str, ...]
    images: int
    cpu_seconds: float


class Row(BaseModel):
    """One tower of the study.

    Attributes:
        terms: what the plan said of its setting (`Plan.terms`).
        base_sha256: of the recipe of the base, which holds the hashes of its weights.
        setting: its name; `ORIGINAL` for the tower of the base itself.
        weights: `TRAINED`, `MOVING_AVERAGE` of them, or an average with the original (`averaged`).
        base, seed: of the run; the original has no seed.
        measured: on the test scenes.
        run: null for the original.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    terms: str
    base_sha256: str
    setting: str
    weights: str = TRAINED
    base: int
    seed: int | None
    measured: Measured
    run: Run | None = None


def averaged(share: float) -> str:
    """Name the average of `share` of the trained weights with the rest of the original ones."""
    return f"average, {share:g} of it"


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


def read_rows(folder: Path, plan: Plan) -> list[Row]:
    """Read every row in `folder`.

    Raises:
        InputError: a file is broken, or was measured as `plan` does not say.
    """
    found: list[Row] = []
    for path in sorted(folder.glob("*.json")):
        try:
            rows = _Rows.model_validate_json(read_file(path)).rows
        except ValidationError as error:
            raise InputError(f"{path}: is no row of the study; remove it and run again") from error
        if any(row.terms != plan.terms(row.setting) for row in rows):
            raise InputError(f"{path}: was measured under another plan; name another folder with --out")
        found += rows
    return found
