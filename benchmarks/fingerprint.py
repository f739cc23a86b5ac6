"""What a set of files holds, as one hash that is worked out once for as long as no file changes."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from diva.atomic import replacing
from diva.documents import read_file
from diva.errors import InputError
from diva.towers.checkpoint import file_sha256


def fingerprint(root: Path, files: Sequence[Path], cache: Path | None) -> str:
    """Return the SHA-256 over the contents of `files` and their names relative to `root`, in their order.

    Args:
        cache: a folder that remembers the answer. It is trusted as long as every file keeps its size and its
            time of change, as git trusts its index: gigabytes are hashed once, not at every run.

    Raises:
        RunError: the cache cannot be written to.
    """
    if cache is None:
        return _of_content(root, files)
    remembered = cache / f"fingerprint-{_of_state(root, files)}"
    with suppress(InputError):  # it is not there, or damaged
        if re.fullmatch("[0-9a-f]{64}", found := read_file(remembered, 64).decode(errors="replace")):
            return found
    content = _of_content(root, files)
    with replacing(remembered) as temporary:
        temporary.write_text(content)
    return content


def hash_lines(lines: Iterable[str]) -> str:
    """Return the SHA-256 of `lines`, each ended by a line break, in hexadecimal."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _of_content(root: Path, files: Sequence[Path]) -> str:
    return hash_lines(f"{path.relative_to(root).as_posix()}\0{file_sha256(path)}" for path in files)


def _of_state(root: Path, files: Sequence[Path]) -> str:
    stats = ((path.relative_to(root).as_posix(), path.stat()) for path in files)
    return hash_lines([str(root.resolve()), *(f"{name}\0{at.st_size}\0{at.st_mtime_ns}" for name, at in stats)])
