from pathlib import Path

import pytest

from diva.atomic import new_folder


def test_a_folder_appears_with_all_that_was_put_into_it(tmp_path: Path) -> None:
    with new_folder(tmp_path / "above" / "new") as content:
        (content / "a.txt").write_text("a")
        assert not (tmp_path / "above" / "new").exists()
    assert (tmp_path / "above" / "new" / "a.txt").read_text() == "a"
    assert [path.name for path in (tmp_path / "above").iterdir()] == ["new"]


def _fail_to_fill(folder: Path) -> None:
    with new_folder(folder) as content:
        (content / "a.txt").write_text("a")
        raise ValueError("no more")


def test_a_folder_that_could_not_be_filled_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no more"):
        _fail_to_fill(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
