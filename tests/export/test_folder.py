"""A folder is complete or not there, and nothing that is not ours is ever replaced."""

from pathlib import Path

import pytest

from diva.errors import InputError
from diva.export.folder import complete_folder


def test_the_folder_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    with complete_folder(tmp_path / "new" / "out") as content:
        (content / "config.json").write_text("{}")
        assert not (tmp_path / "new" / "out").exists()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]
    assert (tmp_path / "new" / "out" / "config.json").read_text() == "{}"


def test_a_failure_leaves_the_earlier_export_and_nothing_else(tmp_path: Path) -> None:
    with complete_folder(tmp_path / "out") as content:
        (content / "config.json").write_text("first")
    with pytest.raises(OSError, match="disk full"), complete_folder(tmp_path / "out") as content:  # noqa: PT012
        (content / "config.json").write_text("half")
        raise OSError("disk full")
    assert (tmp_path / "out" / "config.json").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_later_export_replaces_an_earlier_one_as_a_whole(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        with complete_folder(tmp_path / "out") as content:
            (content / "config.json").write_text("{}")
            (content / name).write_text(name)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b.txt", "config.json"]


def test_what_is_no_export_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("text")
    (tmp_path / "file").write_text("text")
    for name, sentence in (("thesis", "is not empty and holds no exported tower"), ("file", "is a file")):
        with pytest.raises(InputError, match=sentence), complete_folder(tmp_path / name):
            pass
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "text"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "thesis"]
