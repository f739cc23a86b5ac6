"""Write docs/reliability.md: the attacks and crashes that the tests go through, counted from their tables."""

from pathlib import Path

from tests.faults.attacks.table import ATTACKS, FORMATS, attacks_on
from tests.faults.crashes.counts import KINDS, read_counts

PAGE = Path(__file__).with_suffix(".md")
STOPPED = """## Stopped commands

`make test-slow` stops each command, on miniature models and in a real process: by SIGKILL at a random moment, every
other time just as it makes a file or a folder, alone or with all that it has started; by SIGTERM; by a full disk.
Then it starts the command again, with `--resume` where it has that. Every result must equal that of a run which was
left alone, byte by byte (checkpoints of segmentation, which note the hour, tensor by tensor), and no other file may
lie in or beside the folder. SIGTERM and a full disk must end the command in one sentence, with status 143 and 1,
and leave nothing half written; on SIGTERM `diva train` may save a checkpoint and end with 0 instead. Of two
commands at once in one folder the second is refused, `diva export` apart, which replaces the other's whole folder.
"""
ELSEWHERE = """
The last whole run counted these. Stops in CI: `tests/test_cli.py`, `tests/test_atomic.py`, `tests/test_lock.py`,
`tests/training/test_run.py`, `tests/pipelines/test_killed.py`. Whatever file of the newest checkpoint is damaged,
the older one is used: `tests/training/test_checkpoints.py`, `tests/downstream/llava/test_train.py`,
`tests/downstream/segmentation/test_command.py`.
"""


def page() -> str:
    """Return the page."""
    cells = sum(len(attacks_on(each)) for each in FORMATS)
    return "\n".join(
        [
            "# Reliability",
            "",
            "Written by `python -m docs.reliability`; a test compares it with the tables that it counts.",
            "",
            "## Damaged files",
            "",
            f"{len(FORMATS)} kinds of files × {len(ATTACKS)} attacks: {cells} cells that make sense.",
            "The reader is to return an equal value or to say in one sentence, with the file's name, why not.",
            "Nothing else may happen: another exception, no answer within 20 s, a program that runs, or, where",
            "there is a hash or nothing of the file is left, other data in silence.",
            "A sample of the table runs in CI, all of it with `make test-slow`.",
            "",
            "| attack | on |",
            "|---|---|",
            *(f"| {each.name} | {', '.join(sorted(each.formats)) or 'every file'} |" for each in ATTACKS),
            "",
            "| file | attacks | hash |",
            "|---|---:|---|",
            *(
                f"| {each.name} | {len(attacks_on(each))} | {'checked' if each.hashed else ''} |"
                for each in FORMATS
            ),
            "",
            STOPPED,
            "| command | SIGKILL | before its end | SIGTERM | full disk | two at once |",
            "|---|---:|---:|---:|---:|---:|",
            *(
                f"| `{name}` | {' | '.join(str(count.get(kind, '')) for kind in KINDS)} |"
                for name, count in read_counts().items()
            ),
            "",
            ELSEWHERE,
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
