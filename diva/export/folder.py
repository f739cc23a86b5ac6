"""Writing a folder as one act: it is either complete under its name or not there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diva.atomic import new_folder
from diva.errors import InputError
from diva.export.origin import ORIGIN, Origin, read_note, write_origin


@contextmanager
def complete_folder(folder: Path, *sources: Path) -> Iterator[Path]:
    """Yield an empty temporary folder, and give it the name of `folder` when the block ends well.

    An earlier folder of ours is replaced as a whole; anything else that lies there is kept. What tells ours from
    others is the note on their origin, which every folder gets: an empty one unless the block writes it.

    Args:
        folder: what is written; sources: what it is made from.

    Raises:
        InputError: `folder` is a file, not empty and not ours, or holds one of `sources`.
        RunError: the place cannot be written to.
    """
    check_replaceable(folder, *sources)
    with new_folder(folder, replace=True) as content:
        yield content
        if not (content / ORIGIN).is_file():
            write_origin(Origin(), content)


def check_replaceable(folder: Path, *sources: Path) -> None:
    """Check that an export of what lies at `sources` may be written to `folder`.

    Raises:
        InputError: it is a file, not empty and not ours, or holds one of `sources`.
    """
    if folder.is_file():
        raise InputError(f"{folder}: is a file; name a folder to write to")
    for source in sources:
        if source.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{folder}: would replace {source}, which it is made from; name another folder")
    if folder.is_dir() and any(folder.iterdir()) and not _is_ours(folder):
        raise InputError(f"{folder}: is not empty and was not written by an export; name another folder")


def _is_ours(folder: Path) -> bool:
    try:
        return read_note(folder) is not None
    except InputError:  # another program's file of that name
        return False
