"""What `diva run` did and what is missing, from its manifest."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath

from diva.evaluation.section import (
    Block,
    Code,
    Details,
    Heading,
    Inline,
    Paragraph,
    Row,
    Section,
    Words,
    plain_table,
    words,
)
from diva.evaluation.wording import duration
from diva.pipelines.manifest import REPORT, StageRecord, read_manifest
from diva_benchmarks.report.columns import Origin

HEAD = ["Step", "State", "Started (UTC)", "Time", "Exit status", "Log"]


def read_run(path: Path) -> tuple[Section, str, list[Origin]]:
    """Read the manifest at `path`; the report's own stage, which is at work just now, is not part of it.

    Returns:
        The section, what the run lacks in a sentence, which is empty where all of it is done, and the steps that
        were begun, in the run's order.

    Raises:
        InputError: it is not a manifest.
    """
    manifest = read_manifest(path)
    stages = {name: record for name, record in manifest.stages.items() if name != REPORT}
    missing = ", ".join(name for name, record in stages.items() if record.state != "done")
    said, count = f"All {len(stages)} steps are done.", sum(record.state != "done" for record in stages.values())
    if missing:
        said = f"Of the {len(stages)} steps of {manifest.recipe}, {count} are not done: {missing}."
    blocks: list[Block] = [
        Heading(text=manifest.recipe, note=str(path)),
        Paragraph(content=words(said, "strong" if missing else "plain")),
        plain_table(HEAD, [_row(*stage) for stage in stages.items()], wide=True),
        Details(summary="Commands", blocks=list(_commands(stages))),
    ]
    origins = [
        Origin(PurePath(record.log).parent, record.control, record.seconds)
        for record in manifest.stages.values()
        if record.log
    ]
    title = "What was run, and what is missing"
    return Section(id="run", title=title, blocks=blocks), said if missing else "", origins


def _row(name: str, record: StageRecord) -> Row:
    state: list[Inline] = [Words(text=record.state)]
    if record.reason:
        state.append(Words(text=record.reason, style="note"))
    return Row(
        name=name,
        cells=[
            state,
            words(record.started.strftime("%Y-%m-%d %H:%M")) if record.started else [],
            [] if record.seconds is None else words(duration(record.seconds)),
            [] if record.exit_status is None else words(str(record.exit_status)),
            words(record.log, "note") if record.log else [],
        ],
    )


def _commands(stages: Mapping[str, StageRecord]) -> Iterator[Block]:
    for name, record in stages.items():
        if record.command:
            yield Heading(text=name)
            yield Code(text=shlex.join(record.command))
