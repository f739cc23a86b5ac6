"""The library as its documentation and its examples use it."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import diva
from diva.cli import app
from diva.errors import InputError, Invalid, Unknown
from diva.results import read_result
from diva.tasks import find_tasks
from tests.fixtures.contract import every_figure_is_on_the_page

ROOT = Path(__file__).parents[1]
METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"


def blocks(page: str) -> list[str]:
    """Return the Python blocks of a page."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def test_importing_costs_nothing() -> None:
    script = "import sys, diva; sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'pydantic')))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_every_public_name_is_there_and_no_other() -> None:
    for name in diva.__all__:
        assert getattr(diva, name)
    with pytest.raises(AttributeError, match="module 'diva' has no attribute 'trian'"):
        diva.trian  # noqa: B018


def test_the_page_s_blocks_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks("docs/python-api.md"):
        exec(compile(block, "docs/python-api.md", "exec"), names)
    steps = [line.split()[0] for line in capsys.readouterr().out.splitlines() if re.match(r"\d+ 0\.", line)]
    assert steps[-1] == "2"
    result = read_result(tmp_path / "results" / "mmvp.json")
    content = json.loads((tmp_path / "report" / "report.json").read_text())
    (row,) = content["summary"]
    assert [each["value"] for each in row["cells"][1] if each["kind"] == "number"] == [
        result.metrics["average"].value
    ]
    assert (tmp_path / "exported" / "config.json").is_file()


def test_the_readme_s_block_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = blocks("README.md")
    exec(compile(block, "README.md", "exec"), {})
    assert every_figure_is_on_the_page([tmp_path / "mmvp.json"], tmp_path / "report") > 9


def install(folder: Path, module: Path, entry: str) -> None:
    """Lay `module` into `folder` as pip leaves a package that names a task."""
    (folder / module.name).write_text(module.read_text())
    info = folder / f"{module.stem}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA.format(name=module.stem))
    (info / "entry_points.txt").write_text(f"[diva.tasks]\n{entry}\n")


def test_a_benchmark_of_another_package_is_a_verb_and_a_section(
    tower_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, data = tmp_path / "site", tmp_path / "pictures"
    site.mkdir()
    data.mkdir()
    install(site, ROOT / "examples" / "add_a_benchmark.py", "brightness = add_a_benchmark:TASK")
    for number, grey in enumerate((10, 60, 200, 250)):
        Image.new("RGB", (40, 40), (grey, grey, grey)).save(data / f"{number}.png")

    words = ["bench", "brightness", "--tower", str(tower_folder)]
    measured = subprocess.run(
        [sys.executable, "-m", "diva.cli", *words, "--data", data, "--out", "result.json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        check=True,
    )
    assert "accuracy" in measured.stdout
    monkeypatch.syspath_prepend(site)
    diva.report([tmp_path / "result.json"], tmp_path / "report")
    content = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [(each["id"], each["title"]) for each in content["sections"]][-1] == ("brightness", "Brightness")
    (row,) = content["summary"]
    assert row["cells"][0][0]["value"] == read_result(tmp_path / "result.json").metrics["accuracy"].value
    with pytest.raises(InputError, match=r"^threshold: .*less than or equal to 1"):
        app([*words, "--data", str(data), "--threshold", "2"], standalone_mode=False)
    with pytest.raises(InputError, match=r"^threshhold: is not a setting of brightness; did you mean 'threshold'"):
        diva.evaluate("brightness", str(tower_folder), data, threshhold=0.4)
    with pytest.raises(InputError) as told:
        app([*words, "--data", str(site)], standalone_mode=False)
    assert "\n" not in str(told.value)


def test_the_example_script_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train_and_measure.py", str(tmp_path / "out")])
    module = runpy.run_path(str(ROOT / "examples" / "train_and_measure.py"))
    module["main"].__globals__["UPDATES"] = 2
    assert module["main"](tmp_path / "out").is_file()


def test_a_task_that_is_not_of_towers_and_one_that_does_not_exist_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="segmentation:"):
        diva.evaluate("segmentation", "x", tmp_path)
    with pytest.raises(Unknown, match="'mmvp-vlm'"):
        diva.evaluate("mmvp-vlmm", "x", tmp_path)


def test_every_task_of_ours_is_found_in_the_order_of_the_report() -> None:
    assert list(find_tasks())[:3] == ["study", "mmvp-vlm", "pairs"]
    assert {"mmbench", "mmvp-vqa", "pope", "llava-bench", "segmentation", "throughput"} <= find_tasks().keys()
