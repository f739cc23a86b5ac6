"""Tar archives that do not remember when they were written."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from webdataset import TarWriter


def write_tar(path: Path, samples: Iterable[Mapping[str, str | bytes]]) -> None:
    """Write webdataset samples (`__key__` and one entry an extension, already encoded) with fixed times."""
    with path.open("wb") as file, TarWriter(file, encoder=False, mtime=0) as tar:
        for sample in samples:
            tar.write(
                {
                    name: value if name == "__key__" or isinstance(value, bytes) else value.encode()
                    for name, value in sample.items()
                }
            )
