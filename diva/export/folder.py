"""Writing a folder as one act: it is either complete under its name or not there."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from diva.errors import InputError

# a folder with one of these was written by an exporter, so another export may take its place
MARKS = ("open_clip_config.json", "config.json", "delta.safetensors")


@contextmanager
def complete_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary sibling of `folder`, and give it that name when the block ends well.

    An earlier export under the name is replaced as a whole; anything else that lies there is kept.

    Raises:
        InputError: `folder` is a file, or a non-empty folder that no export wrote.
    """
    check_replaceable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        content, earlier = temporary / "new", temporary / "old"
        content.mkdir()
        yield content
        if folder.exists():
            folder.rename(earlier)
        try:
            content.rename(folder)
        except OSError:
            if earlier.exists():
                earlier.rename(folder)
            raise
    finally:
        shutil.rmtree(temporary)


def check_replaceable(folder: Path) -> None:
    """Check that an export may be written to `folder`.

    Raises:
        InputError: it is a file, or a non-empty folder that no export wrote.
    """
    if folder.is_file():
        raise InputError(f"{folder}: is a file; name a folder to write to")
    if folder.is_dir() and any(folder.iterdir()) and not any((folder / mark).is_file() for mark in MARKS):
        raise InputError(f"{folder}: is not empty and holds no exported tower; name another folder")
