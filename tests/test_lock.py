"""One command at a time in a folder."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from diva.errors import Occupied, Unwritable
from diva.lock import locked


def test_a_second_one_is_refused_and_the_holder_named(tmp_path: Path) -> None:
    with locked(tmp_path / "run"):
        with (
            pytest.raises(Occupied, match=rf"run: .*{os.getpid()}"),
            locked(tmp_path / "run"),
        ):
            pass
        assert (tmp_path / "run" / ".lock").exists()
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "run"):
        (tmp_path / "run" / "kept").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["kept"]


def test_a_process_that_was_killed_frees_the_folder(tmp_path: Path) -> None:
    text = (
        "import os; from pathlib import Path; from diva.lock import locked\n"
        f"with locked(Path({str(tmp_path)!r})): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", text], check=False).returncode == -9
    assert (tmp_path / ".lock").exists()
    with locked(tmp_path):
        pass
    assert not (tmp_path / ".lock").exists()


def test_workers_that_outlive_a_killed_process_for_a_moment_are_waited_for(tmp_path: Path) -> None:
    text = (
        "import os, time; from pathlib import Path; from diva.lock import locked\n"
        f"with locked(Path({str(tmp_path)!r})):\n"
        "    if os.fork(): os.kill(os.getpid(), 9)\n"
        "    time.sleep(1)"
    )
    assert subprocess.run([sys.executable, "-c", text], check=False).returncode == -9
    with locked(tmp_path):
        pass


def test_who_waits_for_a_holder_that_removes_its_file_does_not_hold_a_file_without_a_name(tmp_path: Path) -> None:
    script = (
        "import time; from pathlib import Path; from diva.errors import InputError; from diva.lock import locked\n"
        f"counter = Path({str(tmp_path)!r}, 'counter')\n"
        "done = 0\n"
        "while done < 100:\n"
        "    try:\n"
        f"        with locked(Path({str(tmp_path)!r}, 'run')):\n"
        "            counter.write_text(str(int(counter.read_text()) + 1)); done += 1\n"
        "    except InputError: time.sleep(0.0005)\n"
    )
    (tmp_path / "counter").write_text("0")
    processes = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(3)]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    assert (tmp_path / "counter").read_text() == "300"


def test_a_link_is_not_filled(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    with pytest.raises(Unwritable, match=r"link: .*symbolic"), locked(tmp_path / "link"):
        pass
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks_is_worked_on_with_a_warning(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    with locked(tmp_path / "run") as file:
        assert os.fstat(file)
    assert "has no locks" in caplog.text
    assert list(tmp_path.iterdir()) == []
