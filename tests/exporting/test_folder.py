"""A folder is complete or not there, and nothing that is not ours is ever replaced."""

from pathlib import Path

import pytest

from diva.errors import InputError, Unwritable, WriteFailed
from diva.exporting.folder import complete_folder


def write(folder: Path, name: str = "config.json", *sources: Path) -> None:
    with complete_folder(folder, *sources) as content:
        assert not list(content.iterdir())
        (content / name).write_text(name)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_folder_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    with complete_folder(tmp_path / "new" / "out") as content:
        (content / "config.json").write_text("{}")
        assert not (tmp_path / "new" / "out").exists()
    assert files(tmp_path / "new") == ["out"]
    assert (tmp_path / "new" / "out" / "config.json").read_text() == "{}"


def test_a_failure_leaves_the_earlier_export_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "out", "first")
    with pytest.raises(WriteFailed, match="full"), complete_folder(tmp_path / "out") as content:  # noqa: PT012
        (content / "half").write_text("half")
        raise OSError("disk full")
    assert files(tmp_path / "out") == ["diva.sha256", "first"]
    assert files(tmp_path) == ["out"]


def test_a_later_export_replaces_an_earlier_one_as_a_whole(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        write(tmp_path / "out", name)
    assert files(tmp_path / "out") == ["b.txt", "diva.sha256"]


@pytest.mark.parametrize("name", ["chapter.tex", "config.json", "open_clip_config.json", "provenance.json"])
def test_what_is_no_export_is_never_replaced(tmp_path: Path, name: str) -> None:
    content = {"builder": "another program's"}
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / name).write_text(str(content))
    (tmp_path / "file").write_text("text")
    for place, sentence in (("theirs", "is not empty and was not written by"), ("file", "is a file")):
        with pytest.raises(InputError, match=sentence):
            write(tmp_path / place)
    assert (tmp_path / "theirs" / name).read_text() == str(content)
    assert files(tmp_path) == ["file", "theirs"]


def test_what_an_export_is_made_from_is_never_replaced(tmp_path: Path) -> None:
    write(tmp_path / "models" / "first")
    source = tmp_path / "models" / "first" / "config.json"
    for out in (tmp_path / "models" / "first", tmp_path / "models", tmp_path / "models" / "other" / ".." / "first"):
        with pytest.raises(Unwritable, match=r"config\.json"):
            write(out, "new", source)
    assert source.read_text() == "config.json"
    write(tmp_path / "models" / "first" / "below", "new", source)
    assert source.is_file()
