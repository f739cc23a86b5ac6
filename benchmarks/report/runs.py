"""What `diva run` did and what is missing, from its manifest."""

from pathlib import Path

from diva.evaluation.section import Block, Heading, Inline, Paragraph, Row, Section, Words, plain_table, words
from diva.evaluation.wording import duration
from diva.pipelines.manifest import REPORT, StageRecord, read_manifest

HEAD = ["Stage", "State", "Started (UTC)", "Time", "Exit", "Command and log"]


def read_run(path: Path) -> tuple[Section, str]:
    """Read the manifest at `path`; the report's own stage, which is at work just now, is not part of it.

    Returns:
        The section, and what the run lacks in a sentence, which is empty where all of it is done.

    Raises:
        InputError: it is not a manifest.
    """
    manifest = read_manifest(path)
    stages = {name: record for name, record in manifest.stages.items() if name != REPORT}
    missing = ", ".join(name for name, record in stages.items() if record.state != "done")
    said, count = f"All {len(stages)} stages are done.", sum(record.state != "done" for record in stages.values())
    if missing:
        said = f"Of the {len(stages)} stages of {manifest.recipe}, {count} are not done: {missing}."
    blocks: list[Block] = [
        Heading(text=manifest.recipe, note=str(path)),
        Paragraph(content=words(said, "strong" if missing else "plain")),
        plain_table(HEAD, [_row(*stage) for stage in stages.items()], wide=True),
    ]
    return Section(id="run", title="What was run, and what is missing", blocks=blocks), said if missing else ""


def _row(name: str, record: StageRecord) -> Row:
    state: list[Inline] = [Words(text=record.state)]
    if record.reason:
        state.append(Words(text=record.reason, style="note"))
    command: list[Inline] = []
    if record.command:
        command = [Words(text=" ".join(record.command), style="code"), Words(text=record.log, style="note")]
    return Row(
        name=name,
        cells=[
            state,
            words(record.started.strftime("%Y-%m-%d %H:%M")) if record.started else [],
            [] if record.seconds is None else words(duration(record.seconds)),
            [] if record.exit_status is None else words(str(record.exit_status)),
            command,
        ],
    )
