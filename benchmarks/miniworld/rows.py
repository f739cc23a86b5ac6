"""What the study found, one row a tower, kept as soon as a run is done."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from diva.atomic import replacing
from diva.documents import read_file
from diva.errors import Damaged, Occupied
from diva_benchmarks.miniworld.measure import Measured
from diva_benchmarks.miniworld.plan import Plan
from diva_benchmarks.miniworld.summary import TRAINED

ROWS = "rows.jsonl"
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


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Write all rows, a line of JSON each; the file is replaced as a whole."""
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{row.model_dump_json()}\n" for row in rows), encoding="utf-8")


def read_rows(path: Path, plan: Plan) -> list[Row]:
    """Read every row in `path`; none where there is no such file.

    Raises:
        InputError: the file is empty, a line is broken, or was measured as `plan` does not say.
    """
    rows: list[Row] = []
    if not (path.exists() or path.is_symlink()):
        return rows
    lines = read_file(path).splitlines()
    if not lines:
        raise Damaged(path, "is empty, which no study leaves behind; remove it to start again")
    for number, line in enumerate(lines, start=1):
        try:
            row = Row.model_validate_json(line)
        except ValidationError as error:
            raise Damaged(path, f"line {number} is not a row of the study; remove it and run again") from error
        if row.terms != plan.terms(row.setting):
            raise Occupied(path, f"line {number} was measured under another plan; name another folder with --out")
        rows.append(row)
    return rows
