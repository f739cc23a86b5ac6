"""Write docs/reliability.md: the attacks and crashes that the tests try, counted from their tables."""

from pathlib import Path

from tests.faults.attacks.table import ATTACKS, FORMATS, attacks_on
from tests.faults.crashes.counts import KINDS, read_counts

PAGE = Path(__file__).with_suffix(".md")
STOPPED = """## Stopped commands

`make test-slow` runs each command in a real process on miniature models and stops it in three ways. SIGKILL comes
at a random moment, every other time just as the command creates a file or a folder, and kills the command alone
or with all its child processes. The other two are SIGTERM and a full disk. The test then starts the command
again, with `--resume` if it has that option. Every result must equal that of an uninterrupted run, byte by byte;
segmentation checkpoints, which record the time, are compared tensor by tensor. No other file may lie in or beside
the folder. SIGTERM and a full disk must end the command with one sentence (status 143 and 1), and leave nothing
half written. On SIGTERM, `diva train` may save a checkpoint and exit with 0 instead. If two commands run in one
folder at once, the second must be refused. Only `diva export` instead replaces the other's whole folder.
"""
ELSEWHERE = """
These counts are from the last complete run. CI also stops commands, in `tests/test_cli.py`,
`tests/test_atomic.py`, `tests/test_lock.py`, `tests/training/test_run.py` and `tests/pipelines/test_killed.py`.
Whichever file of the newest checkpoint is damaged, the older one is used: `tests/training/test_checkpoints.py`,
`tests/downstream/llava/test_train.py` and `tests/downstream/segmentation/test_command.py` check this.
"""


def page() -> str:
    """Return the page."""
    cells = sum(len(attacks_on(each)) for each in FORMATS)
    return "\n".join(
        [
            "# Reliability",
            "",
            "`python -m docs.reliability` writes this page; a test compares it with the tables that it counts.",
            "",
            "## Damaged files",
            "",
            f"The tests damage {len(FORMATS)} kinds of files with {len(ATTACKS)} attacks: {cells} useful pairs.",
            "The reader must return an equal value, or raise an error whose sentence names the file and the",
            "reason. It must not raise another exception, take longer than 20 s or run a program. If the file has",
            "a hash, or if nothing of it is left, the reader must not silently return other data.",
            "CI runs a sample of the table, `make test-slow` all of it.",
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
