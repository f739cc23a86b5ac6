"""The files that a run reads and does not make: are they there, and are they the same as before?"""

import glob
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from diva.braces import expand_braces, missing_files
from diva.pipelines.plan import Step
from diva.pipelines.schema import DataPlace
from diva.progress import phase
from diva.tasks import find_tasks


def absent_data(step: Step) -> list[str]:
    """Return a line for each of the step's data that are not complete, with where to get them."""
    lines = []
    for place in step.data.values():
        missing = missing_files(str(place.path))
        parts = [] if missing else _missing_parts(place)
        if missing:
            several = f"{place.path} ({len(missing)} files, the first {missing[0]})"
            what = missing[0] if len(missing) == 1 else several
            lines.append(f"{what} is missing; where to get it: {place.source}")
        elif parts:
            lines.append(f"{place.path} lacks {', '.join(parts)}; where to get it: {place.source}")
    return lines


def incomplete_data(step: Step) -> list[str]:
    """Return a line for each part of the step's data that its task could open and that is not there."""
    task = find_tasks().get(step.uses)
    return task.missing(step.options) if task else []


def _missing_parts(place: DataPlace) -> list[str]:
    return [
        part
        for part in place.holds
        if len(missing_files(f"{place.path}/{part}")) == len(expand_braces(f"{place.path}/{part}"))
    ]


@phase("hashing data")
def fingerprint(place: str) -> str:
    """Return a SHA-256 that changes with the data at `place`, which must be there.

    Of a single file it is over the content; of a folder or a pattern, which may hold terabytes, over the names,
    sizes and modification times of the files.
    """
    path = Path(place)
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for found in sorted(_files(place)):
        facts = found.stat() if found.exists() else found.lstat()  # of a link to nothing
        digest.update(f"{found}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _files(place: str) -> Iterator[Path]:
    for pattern in expand_braces(place):
        for match in glob.glob(pattern, recursive=True):
            if os.path.isdir(match):
                yield from (Path(folder, name) for folder, _, names in os.walk(match) for name in names)
            else:
                yield Path(match)
