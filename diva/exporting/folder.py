"""Writing a folder as one act, in place of nothing that it is made from."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diva.atomic import check_folder, new_folder
from diva.errors import Unwritable


@contextmanager
def complete_folder(folder: Path, *sources: Path) -> Iterator[Path]:
    """Yield an empty temporary folder, and give it the name of `folder` when the block ends well.

    An earlier folder of ours is replaced as a whole; anything else that lies there is kept.

    Args:
        folder: what is written; sources: what it is made from.

    Raises:
        InputError: as for `check_replaceable`.
        RunError: the place cannot be written to.
    """
    _check_sources(folder, sources)
    with new_folder(folder, replace=True) as content:
        yield content


def check_replaceable(folder: Path, *sources: Path) -> None:
    """Check, before the work, that what is made from `sources` may be written to `folder`.

    Raises:
        InputError: it is no folder, holds anything that is not ours, or holds one of `sources`.
    """
    _check_sources(folder, sources)
    check_folder(folder, replace=True)


def _check_sources(folder: Path, sources: tuple[Path, ...]) -> None:
    place = os.path.realpath(folder)
    for source in sources:
        if Path(os.path.realpath(source)).is_relative_to(place):
            raise Unwritable(folder, f"would replace {source}, which it is made from; name another folder")
