"""What the report says, as data: `report.json` is these models, and the page and the Markdown show nothing else.

A row's cells stand in the order of `Content.towers`, the baseline first, where a table has a column for each tower.
Differences are this tower minus the baseline, in the row's unit (percentage points for percent).
"""

from datetime import datetime
from typing import Final, Literal

from diva.evaluation.measures import Tower
from diva.evaluation.section import Change, Figure, Part, Row, Section

SCHEMA: Final = 2


class ChangeLine(Part):
    """One line of a verdict."""

    measure: str
    change: Change


class Verdict(Part):
    """What changed in one tower, in plain words."""

    tower: str
    sentence: str
    changes: list[ChangeLine]


class Record(Part):
    """How one figure was measured."""

    tower: str
    measured: str
    protocol: str
    file: str
    sha256: str
    recipe: str | None
    data: str
    data_path: str
    fingerprint: str
    items: int
    command: str
    started: datetime
    wall_seconds: float
    peak_memory_bytes: int
    seeds: list[int]
    device: str
    versions: dict[str, str]


class RecipeFile(Part):
    """A recipe as it lay beside its run."""

    name: str
    path: str
    sha256: str
    text: str


class LeftOut(Part):
    """A file or a difference that the page does without, and why."""

    what: str
    reason: str


class Content(Part):
    """The whole report.

    Attributes:
        incomplete: for each run that is not done, what it lacks.
        chart: of the first screen, which shows the summary's figures.
    """

    schema_version: Literal[2] = SCHEMA
    diva_version: str
    created: datetime
    towers: list[Tower]
    baseline_note: str
    incomplete: list[str]
    verdicts: list[Verdict]
    chart: Figure | None
    summary: list[Row]
    sections: list[Section]
    records: list[Record]
    recipes: list[RecipeFile]
    left_out: list[LeftOut]
