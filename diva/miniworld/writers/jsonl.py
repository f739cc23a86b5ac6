"""Files of one JSON object a line."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path


def write_jsonl(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write `rows`, one a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
