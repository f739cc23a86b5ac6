"""Files and folders that are complete or not there."""

import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from diva.atomic import new_folder
from diva.errors import RunError


def test_a_folder_appears_with_all_that_was_put_into_it(tmp_path: Path) -> None:
    with new_folder(tmp_path / "above" / "new") as content:
        (content / "a.txt").write_text("a")
        assert not (tmp_path / "above" / "new").exists()
    assert (tmp_path / "above" / "new" / "a.txt").read_text() == "a"
    assert [path.name for path in (tmp_path / "above").iterdir()] == ["new"]


def _fill(folder: Path, *, text: str = "a", replace: bool = False, error: Exception | None = None) -> None:
    with new_folder(folder, replace=replace) as content:
        (content / f"{text}.txt").write_text(text)
        if error:
            raise error


def test_a_folder_that_could_not_be_filled_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no more"):
        _fill(tmp_path / "new", error=ValueError("no more"))
    assert list(tmp_path.iterdir()) == []


def test_only_who_says_so_replaces_a_folder(tmp_path: Path) -> None:
    _fill(tmp_path / "out")
    with pytest.raises(RunError, match=r"out: cannot be written \(Directory not empty\)"):
        _fill(tmp_path / "out", text="b")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.txt", "diva.sha256"]
    _fill(tmp_path / "out", text="b", replace=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b.txt", "diva.sha256"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [OSError(28, os.strerror(28)), SafetensorError(os.strerror(28))])
def test_a_disk_that_fills_up_is_told_in_a_sentence_and_leaves_what_was_there(
    tmp_path: Path, error: Exception
) -> None:
    _fill(tmp_path / "out")
    with pytest.raises(RunError, match=r"out: cannot be written \(No space left on device\); free or change"):
        _fill(tmp_path / "out", text="b", replace=True, error=error)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.txt", "diva.sha256"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_place_that_cannot_be_made_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(RunError, match=r"new: cannot be written \((Not a directory|File exists)\)"):
        _fill(tmp_path / "file" / "new")
