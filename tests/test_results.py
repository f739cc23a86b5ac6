import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

import diva.cli
from diva.errors import InputError, Invalid, RunError
from diva.results import Clock, Comparison, DataSource, Item, Metric, Result, Subject, read_result, write_result


def a_result(**changes: Any) -> Result:
    fields: dict[str, Any] = {
        "task": "mmvp-vlm",
        "headline": "average",
        "settings": {"protocol": "pooled"},
        "subject": Subject(label="ä tower", source="tower.pt", architecture="ViT-L-14", sha256="0" * 64),
        "data": DataSource(name="MMVP-VLM", path="data", fingerprint="1" * 64, items=2),
        "metrics": {"average": Metric(value=50, unit="percent", n=2, interval=(1.5, 98.5))},
        "items": [
            Item(id="1-2", group="Texts", outcome=1, details={"statement1": "« a door »", "similarity": 0.25}),
            Item(id="3-4", group="Texts", outcome=0),
        ],
        "run": Clock([0, 1], "cpu").stop(),
    }
    return Result(**fields | changes)


def compared() -> Result:
    comparison = Comparison(
        metric="average", difference=0, interval=None, test="exact McNemar", p_value=1, wins=0, losses=0
    )
    return a_result(baseline=a_result(), comparisons=[comparison])


def test_a_result_with_its_baseline_survives_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folders" / "result.json"
    write_result(compared(), path)
    written = read_result(path)
    assert written.items[0].details == {"statement1": "« a door »", "similarity": 0.25}
    assert written.model_dump(exclude={"run": True, "baseline": {"run": True}}) == compared().model_dump(
        exclude={"run": True, "baseline": {"run": True}}
    )
    assert json.loads(path.read_bytes())["schema_version"] == 2


def rename_a_field(document: dict[str, Any]) -> None:
    document["metrics"]["average"]["vlaue"] = document["metrics"]["average"].pop("value")


@pytest.mark.parametrize(
    ("break_it", "names"),
    [
        (lambda document: document.update(schema_version=3), "schema_version.*version of diva that wrote it"),
        (rename_a_field, "metrics.average.value.*measure again"),
        (lambda document: document["items"][1].update(outcome="right"), "items.1.outcome"),
    ],
)
def test_a_file_of_another_schema_is_refused_by_field(
    tmp_path: Path, break_it: Callable[[dict[str, Any]], None], names: str
) -> None:
    path = tmp_path / "result.json"
    document = json.loads(a_result().model_dump_json())
    break_it(document)
    path.write_text(json.dumps(document))
    with pytest.raises(Invalid, match=f"^{re.escape(str(path))}: {names}"):
        read_result(path)


@pytest.mark.parametrize("content", [b"", b'{"schema_version": 1, "items"', b"\xff\xfe\x00", b"[]"])
def test_a_broken_file_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(Invalid, match=f"^{re.escape(str(path))}: .*(measure|write it) again$"):
        read_result(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(InputError, match=r"cannot be read|is not a regular file"):
            read_result(path)


def test_a_result_cut_short_anywhere_or_nested_without_end_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_result(compared(), path)
    whole = path.read_bytes()
    deep = [b"[" * 100_000, b'{"baseline":' * 100_000, whole.replace(b'"value": ', b'"value": NaN, "x": ', 1)]
    for content in (*(whole[:end] for end in range(0, len(whole) - 2, 7)), *deep):
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_result(path)
        assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_result(a_result(), path)
    before = path.read_bytes()
    broken = compared()
    broken.items[0].details["statement1"] = cast("Any", object())
    with pytest.raises(ValueError, match="serialize"):
        write_result(broken, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "result.json", tmp_path / "folder"):
        with pytest.raises((InputError, RunError), match=re.escape(str(path))):
            write_result(a_result(), path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


def test_a_figure_that_could_not_be_computed_cannot_be_recorded() -> None:
    with pytest.raises(ValidationError, match="finite"):
        Metric(value=float("nan"), unit="percent", n=1)


def test_the_clock_records_this_process_and_not_the_one_that_started_it() -> None:
    held = b"\1" * 200_000_000
    measure = "from diva.results import Clock; print(Clock([], 'cpu').stop().peak_memory_bytes)"
    child = subprocess.run([sys.executable, "-c", measure], capture_output=True, text=True, check=True)
    assert Clock([], "cpu").stop().peak_memory_bytes > len(held) > int(child.stdout) > 5_000_000


def test_the_clock_records_what_is_needed_to_measure_again() -> None:
    run = Clock([3, 4], "cpu").stop()
    assert run.seeds == [3, 4]
    assert run.command
    assert run.started.tzinfo is not None
    assert 0 <= run.wall_seconds < 5
    assert {"python", "diva", "torch", "open_clip_torch"} <= run.versions.keys()


@pytest.mark.parametrize(
    ("program", "name"),
    [
        (str(Path(diva.cli.__file__).with_name("__main__.py")), "diva"),  # what `python -m diva.cli` puts there
        ("/somewhere/bin/diva", "diva"),
        ("scripts/mine.py", "mine.py"),
    ],
)
def test_the_recorded_command_can_be_typed_again(monkeypatch: pytest.MonkeyPatch, program: str, name: str) -> None:
    monkeypatch.setattr(sys, "argv", [program, "bench", "mmvp", "--tower", "a b"])
    assert Clock([], "cpu").stop().command == [name, "bench", "mmvp", "--tower", "a b"]


def test_result_files_open_without_torch() -> None:
    code = "import sys, diva.results; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["../other.png", "/etc/passwd", ".hidden", "a\0b.png", ""])
def test_an_item_names_pictures_beside_its_result_alone(name: str) -> None:
    with pytest.raises(ValidationError, match="pictures"):
        Item(id="1", group="all", outcome=1, pictures=[name])
    assert Item(id="1", group="all", outcome=1, pictures=["pope-random.1-1.png"]).pictures
