"""What `diva run` did and what is missing, from its manifest."""

from datetime import datetime
from pathlib import Path

from diva.pipelines.manifest import REPORT, Manifest, State, read_manifest
from diva_benchmarks.report.part import Part


class StageLine(Part):
    """One stage of a run."""

    name: str
    state: State
    reason: str
    exit_status: int | None
    started: datetime | None
    seconds: float | None
    command: list[str]
    log: str


class PipelineRun(Part):
    """A run of a recipe's stages; `missing` are those that are not done."""

    recipe: str
    path: str
    stages: list[StageLine]
    missing: list[str]


def read_run(path: Path) -> PipelineRun:
    """Read the manifest at `path`; the report's own stage, which is at work just now, is not part of it.

    Raises:
        InputError: it is no manifest.
    """
    manifest = read_manifest(path)
    stages = _stages(manifest)
    return PipelineRun(
        recipe=manifest.recipe,
        path=str(path),
        stages=stages,
        missing=[stage.name for stage in stages if stage.state != "done"],
    )


def _stages(manifest: Manifest) -> list[StageLine]:
    return [
        StageLine(
            name=name,
            state=record.state,
            reason=record.reason,
            exit_status=record.exit_status,
            started=record.started,
            seconds=record.seconds,
            command=record.command,
            log=record.log,
        )
        for name, record in manifest.stages.items()
        if name != REPORT
    ]
