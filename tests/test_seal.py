"""A folder's list of what was written: sha256sum reads it, and whatever changes afterwards is noticed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diva.seal import SEAL, DamagedError, seal, strangers, verify

FILES = {"a.txt": b"first", "below/b.bin": b"\0\xff" * 40, "below/empty": b"", "below/deeper/c": b"third"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    seal(folder)
    return folder


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="the other program is the test")
def test_sha256sum_reads_the_list_whatever_the_names_are(tmp_path: Path) -> None:
    names = [
        "plain",
        "two  spaces",
        "line\nfeed",
        "back\\slash",
        "\\n",
        "é",
        os.fsdecode(b"\xff\xfe"),
        " ",
        SEAL + "2",
    ]
    for name in names:
        (tmp_path / name).write_bytes(os.fsencode(name))
    seal(tmp_path)
    verify(tmp_path, complete=True)
    done = subprocess.run(["sha256sum", "--strict", "-c", SEAL], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout.count(b": OK\n") == len(names)
    theirs = subprocess.run(["sha256sum", "-z", "--", *names], cwd=tmp_path, capture_output=True, check=True).stdout
    assert sorted(theirs.split(b"\0")[:-1]) == sorted(
        line.removeprefix(b"\\").replace(b"\\n", b"\n").replace(b"\\\n", b"\\n").replace(b"\\\\", b"\\")
        for line in (tmp_path / SEAL).read_bytes().split(b"\n")[:-1]
    )


@given(place=st.sampled_from([name for name, content in FILES.items() if content]), bit=st.integers(0, 8 * 5 - 1))
def test_a_flipped_bit_is_noticed(whole: Path, place: str, bit: int) -> None:
    content = bytearray(FILES[place])
    content[bit // 8] ^= 1 << bit % 8
    (whole / place).write_bytes(content)
    try:
        with pytest.raises(DamagedError, match=f"{place} has changed since it was written"):
            verify(whole)
    finally:
        (whole / place).write_bytes(FILES[place])
    verify(whole, complete=True)


@given(data=st.data())
def test_a_list_that_is_cut_or_has_a_flipped_bit_is_noticed(whole: Path, data: st.DataObject) -> None:
    listed = (whole / SEAL).read_bytes()
    at = data.draw(st.integers(0, len(listed) - 1))
    damaged = data.draw(
        st.sampled_from([listed[:at], listed[:at] + bytes([listed[at] ^ 1 << at % 8]) + listed[at + 1 :]])
    )
    (whole / SEAL).write_bytes(damaged)
    try:
        with pytest.raises(DamagedError):
            verify(whole, complete=True)
    finally:
        (whole / SEAL).write_bytes(listed)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "below/../../outside"])
def test_a_list_that_names_files_elsewhere_is_not_followed(tmp_path: Path, name: str) -> None:
    (tmp_path / SEAL).write_text(f"{'0' * 64}  {name}\n")
    with pytest.raises(DamagedError, match=r"diva\.sha256 is damaged"):
        verify(tmp_path)


@pytest.mark.parametrize("name", ["a.txt", SEAL])
@pytest.mark.parametrize("kind", ["missing", "FIFO", "endless", "folder"])
def test_what_took_a_files_place_is_not_read(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "a.txt").write_text("a")
    seal(tmp_path)
    (tmp_path / name).unlink()
    if kind == "FIFO":
        os.mkfifo(tmp_path / name)
    elif kind == "endless":
        (tmp_path / name).symlink_to("/dev/zero")
    elif kind == "folder":
        (tmp_path / name).mkdir()
    with pytest.raises(DamagedError, match=name):
        verify(tmp_path)


def test_what_is_not_on_the_list_is_a_stranger(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "copy")
    assert strangers(folder) == []
    (folder / "below" / "notes.txt").write_text("mine")
    assert strangers(folder) == ["below/notes.txt"]
