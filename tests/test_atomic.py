"""Files and folders that are complete or not there, in place of nothing that is not ours."""

import ctypes
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError

from diva.atomic import (
    check_file,
    check_files_in,
    check_folder,
    new_files,
    new_folder,
    replacing,
    sweep,
    temporary_name,
    write_json,
)
from diva.documents import read_json
from diva.errors import InputError, Occupied, Unwritable, WriteFailed

FILE_EVENTS = ("open", "os.mkdir", "os.remove", "os.rename", "os.rmdir")
LETTERS = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60)


def _fill(folder: Path, *, text: str = "a", replace: bool = False, error: Exception | None = None) -> None:
    with new_folder(folder, replace=replace) as content:
        (content / f"{text}.txt").write_text(text)
        if error:
            raise error


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_with_all_that_was_put_into_it(tmp_path: Path) -> None:
    with new_folder(tmp_path / "above" / "new") as content:
        (content / "a.txt").write_text("a")
        assert not (tmp_path / "above" / "new").exists()
    assert (tmp_path / "above" / "new" / "a.txt").read_text() == "a"
    assert _names(tmp_path / "above") == ["new"]


def test_a_folder_that_could_not_be_filled_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no more"):
        _fill(tmp_path / "new", error=ValueError("no more"))
    assert list(tmp_path.iterdir()) == []


def test_only_who_says_so_replaces_a_folder(tmp_path: Path) -> None:
    _fill(tmp_path / "out")
    with pytest.raises(Occupied, match="out:"):
        _fill(tmp_path / "out", text="b")
    assert _names(tmp_path / "out") == ["a.txt", "diva.sha256"]
    _fill(tmp_path / "out", text="b", replace=True)
    assert _names(tmp_path / "out") == ["b.txt", "diva.sha256"]
    assert _names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [OSError(28, os.strerror(28)), SafetensorError(os.strerror(28))])
def test_a_disk_that_fills_up_is_told_in_a_sentence_and_leaves_what_was_there(
    tmp_path: Path, error: Exception
) -> None:
    _fill(tmp_path / "out")
    with pytest.raises(WriteFailed, match="out:"):
        _fill(tmp_path / "out", text="b", replace=True, error=error)
    assert _names(tmp_path / "out") == ["a.txt", "diva.sha256"]
    assert _names(tmp_path) == ["out"]


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("file/new", "file is not a folder that allows it"),
        ("loop/new", "Too many levels of symbolic links"),
        ("n" * 256, "File name too long"),
    ],
)
def test_a_place_that_cannot_be_made_is_told_before_the_work(tmp_path: Path, place: str, why: str) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "loop").symlink_to("loop")
    for check in (check_file, check_folder):
        with pytest.raises(Unwritable, match=f"written.*{why}.*"):
            check(tmp_path / place)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def _link(path: Path) -> None:
    (path.parent / "mine").mkdir()
    path.symlink_to("mine")


KINDS: dict[str, Callable[[Path], None]] = {
    "a FIFO": os.mkfifo,
    "a socket": _socket,
    "a symbolic link": _link,
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_neither_a_file_nor_a_folder_is_never_replaced(tmp_path: Path, kind: str) -> None:
    KINDS[kind](tmp_path / "out")
    before = (tmp_path / "out").lstat()
    with pytest.raises(Unwritable, match=f"out: .*{kind}"):
        _fill(tmp_path / "out", replace=True)
    with pytest.raises(Unwritable, match=f"out: .*{kind}"):
        replacing(tmp_path / "out").__enter__()
    assert (tmp_path / "out").lstat() == before


def test_devices_and_the_current_folder_are_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unwritable, match="/dev/null:"):
        check_file(Path("/dev/null"))
    monkeypatch.chdir(tmp_path)
    for place in (Path(), Path(".."), tmp_path, Path("/")):
        with pytest.raises(InputError, match="is the folder that the command runs in, or above it"):
            check_folder(place, replace=True)
        with pytest.raises(InputError, match="is a folder, which a file may not replace"):
            check_file(place)


def _add(folder: Path) -> None:
    (folder / "thesis.tex").write_text("three years")


def _add_below(folder: Path) -> None:
    (folder / "below").mkdir()
    (folder / "below" / "thesis.tex").write_text("three years")


def _change(folder: Path) -> None:
    (folder / "a.txt").write_text("A")


def _link_away(folder: Path) -> None:
    (folder / "a.txt").rename(folder.parent / "elsewhere")
    (folder / "a.txt").symlink_to(folder.parent / "elsewhere")


def _unseal(folder: Path) -> None:
    (folder / "diva.sha256").unlink()


@pytest.mark.parametrize("change", [_add, _add_below, _change, _link_away, _unseal])
def test_a_folder_that_holds_anything_else_is_kept(tmp_path: Path, change: Callable[[Path], None]) -> None:
    _fill(tmp_path / "out")
    change(tmp_path / "out")
    before = sorted((tmp_path / "out").rglob("*"))
    with pytest.raises(Occupied, match=r"out: (holds something that would be lost|.*diva\.sha256 is missing)"):
        _fill(tmp_path / "out", text="b", replace=True)
    assert sorted((tmp_path / "out").rglob("*")) == before


def test_what_appears_at_the_place_during_the_work_is_kept_too(tmp_path: Path) -> None:
    with pytest.raises(Unwritable, match="FIFO"), replacing(tmp_path / "file") as temporary:  # noqa: PT012
        temporary.write_text("new")
        os.mkfifo(tmp_path / "file")
    _fill(tmp_path / "out")
    with pytest.raises(Occupied, match="out:"), new_folder(tmp_path / "out", replace=True):
        _add(tmp_path / "out")
    assert _names(tmp_path / "out") == ["a.txt", "diva.sha256", "thesis.tex"]
    assert _names(tmp_path) == ["file", "out"]


class _LibraryWithoutExchange:
    """What an older or another system's C library offers."""


@pytest.fixture(params=["exchange", "two renames"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "two renames":
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: _LibraryWithoutExchange())
    return str(request.param)


def test_a_process_that_is_killed_at_any_moment_leaves_the_old_or_the_new(tmp_path: Path, system: str) -> None:
    seen = set()
    for number in range(1, 200):
        out = tmp_path / str(number) / "out"
        _fill(out, text="old")
        killed = _killed_at(number, lambda out=out: _fill(out, text="new", replace=True))  # type: ignore[misc]
        assert out.exists() or system == "two renames"
        sweep(out.parent)  # as the next command does
        assert _names(out) in (["diva.sha256", "new.txt"], ["diva.sha256", "old.txt"])
        seen.add(_names(out)[1])
        assert _names(out.parent) == ["out"]
        check_folder(out, replace=True)
        if not killed:
            break
    assert not killed
    assert seen == {"new.txt", "old.txt"}


def _killed_at(number: int, work: Callable[[], None]) -> bool:
    """Do `work` in a process that is killed at its `number`-th access to a file; tell whether it came so far."""
    process = os.fork()
    if process == 0:
        left = number

        def count(event: str, _: object) -> None:
            nonlocal left
            if event in FILE_EVENTS:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitpid(process, 0)[1]
    assert status in (0, signal.SIGKILL)
    return status != 0


def test_a_stop_right_behind_a_temporary_folder_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Path.mkdir

    def make_and_stop(self: Path, *arguments: Any, **options: Any) -> None:
        make(self, *arguments, **options)
        if self.name != tmp_path.name:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "mkdir", make_and_stop)
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "out"):
        pass
    with pytest.raises(KeyboardInterrupt), new_files(tmp_path, "last"):
        pass
    assert _names(tmp_path) == []


@pytest.mark.usefixtures("system")
def test_a_rename_that_the_system_refuses_leaves_the_old(tmp_path: Path) -> None:
    _fill(tmp_path / "out")
    with pytest.raises(WriteFailed, match="out:"), new_folder(tmp_path / "out", replace=True) as new:
        new.rmdir()
    assert _names(tmp_path / "out") == ["a.txt", "diva.sha256"]
    assert _names(tmp_path) == ["out"]


def test_the_litter_of_the_dead_is_swept_and_that_of_the_living_is_kept(tmp_path: Path) -> None:
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    os.waitpid(dead, 0)
    name = temporary_name(tmp_path / "file[1]*").name
    mine, token = str(os.getpid()), name.removesuffix(".tmp").rpartition("-")[2]
    left_by_dead = name.replace(f"-{mine}-", f"-{dead}-")
    kept = {
        name,  # this process is at work
        name.replace(f"-{mine}-", f"-{os.getppid()}-"),  # so is another
        name.replace(f".{socket.gethostname()}-", ".another-machine-"),
        name.replace("file[1]*", "file1"),
        ".file.1.tmp",  # somebody else's
        "file[1]*",
    }
    swept = {left_by_dead, name.replace(token, "00000000")}  # the latter of a process that had this one's number
    for each in kept | swept:
        (tmp_path / each).write_text(each)
    (tmp_path / left_by_dead).unlink()
    (tmp_path / left_by_dead / "below").mkdir(parents=True)
    sweep(tmp_path, "file[1]*")
    assert set(_names(tmp_path)) == kept
    with replacing(tmp_path / "other"):
        temporary_name(tmp_path / "other").write_text("other")
    assert set(_names(tmp_path)) == kept | {"other"}


@settings(max_examples=40)
@given(name=st.one_of(LETTERS, st.binary(min_size=1, max_size=250).map(os.fsdecode)))
def test_every_name_that_a_file_may_have_can_be_written(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = tmp_path_factory.mktemp("names")
    if set(name) & {"/", "\0"} or name in (".", ".."):
        return
    with replacing(folder / name) as temporary:
        temporary.write_text("text")
    assert os.listdir(folder) == [name]
    (folder / name).unlink()
    for _ in range(2):
        with new_folder(folder / name, replace=True) as content:
            (content / name).write_text("text")
        assert os.listdir(folder) == [name]


@pytest.mark.parametrize("name", ["é" * 127, "earlier", "*", "[!a]", "a\nb\\n", "a\rb"])
def test_names_that_are_hard_to_write_are_written(tmp_path: Path, name: str) -> None:
    for _ in range(2):
        with new_folder(tmp_path / name, replace=True) as content:
            (content / name).write_text("text")
    with replacing(tmp_path / name / name) as temporary:
        temporary.write_text("text")
    assert _names(tmp_path) == [name]


def test_files_and_folders_have_the_modes_that_the_umask_says(tmp_path: Path) -> None:
    with replacing(tmp_path / "file") as temporary:
        temporary.touch(0o600)
    with new_folder(tmp_path / "folder") as content:
        (content / "weights").touch(0o600)
    (tmp_path / "usual").touch()
    usual = (tmp_path / "usual").stat().st_mode
    assert [(tmp_path / path).stat().st_mode for path in ("file", "folder/weights")] == [usual, usual]


def test_json_holds_names_that_are_not_utf_8(tmp_path: Path) -> None:
    content = {"path": os.fsdecode(b"caf\xe9/\xff"), "text": "café, 日本, \U0001f600"}
    write_json(content, tmp_path / "a.json")
    assert read_json(tmp_path / "a.json") == json.loads((tmp_path / "a.json").read_text()) == content


@pytest.mark.parametrize(
    ("name", "says"),
    [("link", "link: .*symbolic"), ("file", "file:"), ("held", "a.txt:")],
)
def test_a_folder_to_fill_is_neither_a_link_nor_a_file_and_holds_nothing_in_the_files_places(
    tmp_path: Path, name: str, says: str
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    (tmp_path / "file").touch()
    (tmp_path / "held" / "a.txt").mkdir(parents=True)
    with pytest.raises(Unwritable, match=says):
        check_files_in(tmp_path / name, "a.txt")
    check_files_in(tmp_path / "link" / "new", "a.txt")
    check_files_in(tmp_path / "held", "b.txt")
    assert list((tmp_path / "there").iterdir()) == []
