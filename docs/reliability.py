"""Write docs/reliability.md: the attacks and crashes that the tests go through, counted from their tables."""

import json
from collections.abc import Iterator
from pathlib import Path

from tests.faults.attacks.table import ATTACKS, FORMATS, attacks_on
from tests.faults.crashes.counts import COUNTS

PAGE = Path(__file__).with_suffix(".md")


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
            "## Killed commands",
            "",
            "`make test-slow` kills each command with SIGKILL at random moments, starts it again, and compares",
            "every result byte by byte with a run that was left alone; nothing may be left under a temporary name.",
            "",
            *_crashes(),
            "",
            "Whatever file of the newest checkpoint is damaged, the older one is used:",
            "`tests/training/test_checkpoints.py`. Of two commands in one folder the second is refused:",
            "`tests/test_lock.py`.",
            "",
        ]
    )


def _crashes() -> Iterator[str]:
    if not COUNTS.is_file():
        yield "No run has been recorded yet."
        return
    yield from ("| command | started | killed at work | equal after a new start |", "|---|---:|---:|---:|")
    for name, count in json.loads(COUNTS.read_text()).items():
        yield f"| `{name}` | {count['started']} | {count['killed']} | {count['equal']} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
