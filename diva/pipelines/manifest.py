"""`manifest.json`: what a run did, stage by stage. Torch-free, so that the report can read it."""

from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from diva.atomic import write_json
from diva.documents import read_model

MANIFEST: Final = "manifest.json"
SCHEMA: Final = 1
REPORT: Final = "report"  # the stage that every run ends with

State = Literal["waiting", "started", "done", "failed", "blocked"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class StageRecord(_Part):
    """One stage, as it was last run.

    Attributes:
        state: "started" stands for an interrupted stage too; "blocked" for one that lacks what others make.
        reason: why it is not done, in a sentence; empty where it is.
        command: the words that started its process.
        exit_status: of the process; null where none has ended.
        seconds: wall time of the process.
        log: file with everything that the process printed.
        data: fingerprints of the data that it read, by name.
        versions: of the packages in use.
        made_from: digest of all that it was made from, if it is done (`diva.pipelines.work.made_from`).
        control: whether the tower that it makes is a control.
    """

    model_config = ConfigDict(extra="ignore")  # 0.1 kept proofs of another program's here

    state: State = "waiting"
    reason: str = ""
    command: list[str] = []
    exit_status: int | None = None
    started: datetime | None = None
    seconds: float | None = None
    log: str = ""
    data: dict[str, str | None] = {}
    versions: dict[str, str] = {}
    made_from: str = ""
    control: bool = False


class FileDigest(_Part):
    """What a file held that one step made and another needs, when it had this size and time of change (in ns)."""

    bytes: int
    modified: int
    sha256: str


class Manifest(_Part):
    """A run: its recipe, its pipeline, the overrides of the command line, and its stages in the plan's order."""

    schema_version: Literal[1] = SCHEMA
    recipe: str
    pipeline: str = ""
    overrides: list[str] = []
    stages: dict[str, StageRecord] = {}
    files: dict[str, FileDigest] = {}


def read_manifest(path: Path) -> Manifest:
    """Read a run's manifest.

    Raises:
        InputError: the file cannot be read, or is no manifest of this version.
    """
    return read_model(path, Manifest, "remove it, and `diva run` does every stage again")


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write `manifest` to `path`; an existing file is replaced only by a complete one.

    Raises:
        InputError: a folder, a link, a device or the like lies at `path`.
        RunError: the place cannot be written to.
    """
    write_json(manifest, path)
