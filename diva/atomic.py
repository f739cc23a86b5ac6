"""Files and folders that are complete or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors import SafetensorError

from diva.errors import RunError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; it takes the place of `path` once the block ends without an error.

    Folders above are made; an error leaves whatever was at `path`.

    Raises:
        RunError: the place cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _writing(path):
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield an empty folder to fill; it becomes `folder` once the block ends well.

    Folders above are made; an error leaves whatever was at `folder`.

    Args:
        folder: new or empty until then.
        replace: let the new folder take the place of one that is not empty.

    Raises:
        RunError: the place cannot be written to.
    """
    with (
        _writing(folder),
        TemporaryDirectory(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent) as temporary,
    ):
        content, earlier = Path(temporary, folder.name), Path(temporary, f"{folder.name}.earlier")
        content.mkdir()
        yield content
        if replace and folder.exists():
            folder.rename(earlier)
        try:
            content.rename(folder)
        except OSError:
            if earlier.exists():
                earlier.rename(folder)
            raise


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    """Make the folders above `place`, and tell in a sentence what keeps the block from writing there."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        yield
    except (OSError, SafetensorError) as error:  # safetensors' own, for a disk that is full
        reason = getattr(error, "strerror", None) or error
        raise RunError(f"{place}: cannot be written ({reason}); free or change the place") from error
