"""How often each command is struck, and what the last whole run of `make test-slow` counted."""

import json
from pathlib import Path

KILLS = {
    "diva train": 30,
    "diva data cache-latents": 20,
    "diva export": 15,
    "diva run": 10,
    "diva llava train": 12,
    "diva seg train": 13,
}
STOPS = 5  # of each command by SIGTERM, and as many by a full disk
COUNTS = Path(__file__).with_name("counts.json")


def read_counts() -> dict[str, dict[str, int]]:
    """Return what was counted, by the command's name and the kind of stop."""
    return json.loads(COUNTS.read_text()) if COUNTS.is_file() else {}


def record(command: str, **counted: int) -> None:
    """Keep what was counted of a command."""
    counts = read_counts()
    counts[command] = counts.get(command, {}) | counted
    COUNTS.write_text(json.dumps(counts, indent=1, sort_keys=True) + "\n")
