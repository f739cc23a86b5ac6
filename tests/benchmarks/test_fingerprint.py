import hashlib
import os
from pathlib import Path

import pytest

from diva_benchmarks.fingerprint import fingerprint


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "data" / name for name in ("b.tar", "a.tar")]
    paths[0].parent.mkdir()
    for path in paths:
        path.write_bytes(path.name.encode())
    return paths


def test_it_is_the_hash_of_names_and_contents_in_order(files: list[Path], tmp_path: Path) -> None:
    lines = [f"{name}\0{hashlib.sha256(name.encode()).hexdigest()}\n" for name in ("b.tar", "a.tar")]
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert fingerprint(files[0].parent, files, None) == expected
    for _ in range(2):
        assert fingerprint(files[0].parent, files, tmp_path / "cache") == expected
    assert fingerprint(files[0].parent, files[::-1], None) != expected


def test_the_cache_is_trusted_while_sizes_and_times_stay(files: list[Path], tmp_path: Path) -> None:
    folder, cache = files[0].parent, tmp_path / "cache"
    before, time = fingerprint(folder, files, cache), files[0].stat().st_mtime_ns
    files[0].write_bytes(b"x.tar")
    os.utime(files[0], ns=(time, time))
    assert fingerprint(folder, files, cache) == before  # unread
    os.utime(files[0], ns=(time, time + 1))
    changed = fingerprint(folder, files, cache)
    assert changed == fingerprint(folder, files, None) != before


def test_a_damaged_memory_is_replaced(files: list[Path], tmp_path: Path) -> None:
    folder, cache = files[0].parent, tmp_path / "cache"
    expected = fingerprint(folder, files, cache)
    (memory,) = cache.iterdir()
    memory.write_bytes(b"\xff" * 64)
    assert fingerprint(folder, files, cache) == expected
    assert memory.read_text() == expected
