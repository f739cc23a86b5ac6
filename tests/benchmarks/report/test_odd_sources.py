"""What lies among a report's sources and is not what its name says is named, and never waited for."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from diva.errors import Unsafe, Unwritable
from diva.evaluation.pictures import PNG, read_picture
from diva_benchmarks.report.build import build
from diva_benchmarks.report.command import run
from diva_benchmarks.report.render import render
from diva_benchmarks.report.sources import read_sources

NAMES = ("metrics.jsonl", "recipe.yaml", "manifest.json", "visualised.json", "study.json", "result.json")
BOMB = "a: &a [1]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


def _make_huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**40)


ODD: dict[str, Callable[[Path], object]] = {
    "FIFO": os.mkfifo,
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "dangling": lambda path: path.symlink_to("nowhere"),
    "looping": lambda path: path.symlink_to(path.name),
    "deep": lambda path: path.write_text("[" * 100_000),
    "NUL": lambda path: path.write_bytes(b'{"schema_version": 1, "benchmark": \0}\n'),
    "not finite": lambda path: path.write_text('{"schema_version": 1, "benchmark": NaN}\n'),
    "bomb": lambda path: path.write_text(BOMB),
    "huge": _make_huge,
}


@pytest.mark.parametrize(
    ("name", "kind"),
    # JSON's NaN is a word in YAML
    [(name, kind) for name in NAMES for kind in ODD if (name, kind) != ("recipe.yaml", "not finite")],
)
def test_an_odd_file_is_left_out_by_its_name(tmp_path: Path, name: str, kind: str) -> None:
    ODD[kind](tmp_path / name)
    sources = read_sources([tmp_path])
    assert [left_out.what for left_out in sources.left_out] == [str(tmp_path / name)]
    assert "\n" not in sources.left_out[0].reason


@pytest.mark.parametrize("name", ["../secret.png", "/secret.png", "link.png"])
def test_a_picture_from_elsewhere_is_not_carried_along(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.png").write_bytes(PNG)
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "link.png").symlink_to(tmp_path / "secret.png")
    place = tmp_path / "secret.png" if name.startswith("/") else tmp_path / "shown" / name
    with pytest.raises(Unsafe, match="does not lie in"):
        read_picture(place, tmp_path / "shown")


@pytest.mark.parametrize("name", ["report.html", "report.md", "report.json"])
def test_only_files_are_replaced_and_that_is_known_before_anything_is_read(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(Unwritable, match=f"{name}: .*FIFO"):
        run([tmp_path / "nowhere"], tmp_path, published=False)
    assert (tmp_path / name).is_fifo()


def test_names_that_are_not_utf_8_are_written_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "study.json").write_text("{}")
    assert set(render(build(read_sources([folder]), published=False))) == {
        "report.html",
        "report.md",
        "report.json",
    }
    run([folder], folder / "report", published=False)
    assert "caf\\udce9" in (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "caf\\udce9" in capsys.readouterr().out
