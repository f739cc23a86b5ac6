"""Writing a model into the folder of its run."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

CONFIG = "config.json"  # without it a folder is no model, so it comes last


@contextmanager
def fill(folder: Path) -> Iterator[Path]:
    """Yield an empty folder inside `folder`, and move its files up when the block ends well, `config.json` last."""
    content = Path(mkdtemp(prefix=".model.", suffix=".tmp", dir=folder))
    try:
        yield content
        for path in sorted(content.iterdir(), key=lambda path: path.name == CONFIG):
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(content)
