import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from diva.errors import Invalid, Missing, Unwritable, WriteFailed
from diva.results import write_result
from diva_benchmarks.report.command import run
from tests.benchmarks.report.examples import AFTER, BEFORE, against, compared, mmvp, result, right_in_each


@pytest.fixture
def result_file(tmp_path: Path) -> Path:
    better = against(
        mmvp(AFTER, right_in_each(2)), mmvp(BEFORE, right_in_each(1)), compared("average", 25, (9.5, 40), 0.004)
    )
    write_result(better, tmp_path / "results" / "mmvp.json")
    return tmp_path / "results" / "mmvp.json"


def test_three_files_are_written_and_nothing_else(result_file: Path, tmp_path: Path) -> None:
    run([result_file], tmp_path / "deep" / "report", published=False)
    names = sorted(path.name for path in (tmp_path / "deep" / "report").iterdir())
    assert names == ["report.html", "report.json", "report.md"]


def test_the_verdict_and_what_was_left_out_are_printed(
    result_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (result_file.parent / "broken.json").write_text("{")
    run([result_file.parent], tmp_path / "report", published=False)
    printed = capsys.readouterr().out
    assert "after: Better on MMVP-VLM (+25.0 points)." in printed
    assert f"left out: {result_file.parent / 'broken.json'}: the file: Invalid JSON" in printed


def test_a_report_among_its_own_results_is_written_anew(result_file: Path) -> None:
    for _ in range(2):
        run([result_file.parent], result_file.parent, published=False)
    content = json.loads((result_file.parent / "report.json").read_text())
    assert content["left_out"] == []
    assert len(content["records"]) == 2


def test_a_report_needs_no_torch(result_file: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from diva_benchmarks.report.command import run;"
        f" run([Path({str(result_file)!r})], Path({str(tmp_path / 'report')!r}), True);"
        " print(sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'open_clip', 'transformers'}))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"
    assert ended.stderr == ""


def test_a_place_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="nowhere:"):
        run([tmp_path / "nowhere"], tmp_path / "report", published=False)
    assert not (tmp_path / "report").exists()


def test_a_folder_without_anything_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(Missing, match=r"^RESULTS:"):
        run([tmp_path], tmp_path / "report", published=False)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(Invalid, match=r"notes\.txt: .*\(\.json\).*metrics\.jsonl.*recipe\.yaml"):
        run([tmp_path / "notes.txt"], tmp_path / "report", published=False)


def test_a_file_in_place_of_the_folder_is_refused(result_file: Path) -> None:
    with pytest.raises(Unwritable, match=r"mmvp\.json:"):
        run([result_file], result_file, published=False)


def test_a_place_that_cannot_be_written_to_ends_the_run(result_file: Path) -> None:
    with pytest.raises(Unwritable, match=r"report\.html:"):
        run([result_file], result_file / "report", published=False)


def test_an_interrupted_write_leaves_the_last_report(
    result_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "report"
    run([result_file], out, published=False)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    write_result(result(AFTER, [1, 1]), result_file)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(WriteFailed, match=r"report\.html:"):
        run([result_file], out, published=False)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
