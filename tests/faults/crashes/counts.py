"""How often each command is killed, and what the last whole run of `make test-slow` counted."""

from pathlib import Path

KILLS = {"diva train": 50, "diva data cache-latents": 25, "diva export": 25}
COUNTS = Path(__file__).with_name("counts.json")
