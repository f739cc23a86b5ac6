"""A run that is killed in the middle of a step, with everything that it started, and then goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from diva.pipelines.manifest import MANIFEST, read_manifest
from tests.fixtures.images import write_shards
from tests.fixtures.mmvp import write_mmvp_folder
from tests.fixtures.recipes import write_recipe_file

STEPS = 40


def write_whole_run(folder: Path, tower: Path, teacher: Path) -> tuple[Path, Path]:
    """Write a recipe, and a pipeline that measures a tower, trains it and measures it again."""
    shards = write_shards(folder / "shards", n_shards=2, per_shard=8, side=40)
    pipeline = {
        "data": {
            "base": {"path": str(tower)},
            "teacher": {"path": str(teacher)},
            "images": {"path": f"{shards}/{{00000..00001}}.tar"},
            "pairs": {"path": str(write_mmvp_folder(folder / "mmvp", 1))},
        },
        "steps": {
            "before": {
                "uses": "mmvp-vlm",
                "needs": ["base", "pairs"],
                "with": {"tower": "${base}", "data": "${pairs}"},
            },
            "train": {"uses": "train", "needs": ["base", "teacher", "images"]},
            "mmvp": {
                "uses": "mmvp-vlm",
                "needs": ["train", "base", "pairs"],
                "with": {"tower": "${train}/tower", "against": "${base}", "data": "${pairs}"},
            },
        },
    }
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    recipe = write_recipe_file(
        folder / "tiny.yaml",
        tower=tower,
        teacher=teacher,
        source=f"{shards}/{{00000..00001}}.tar",
        stages=[{"steps": STEPS, "optimizer": {"type": "adamw", "lr": 1e-3}}],
    )
    return recipe, folder / "pipeline.yaml"


def start(recipe: Path, pipeline: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    files = [str(recipe), "--pipeline", str(pipeline), "--out", str(out)]
    command = [sys.executable, "-m", "diva.cli", "run", *files, *options]
    return subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


@pytest.mark.slow
def test_a_killed_run_goes_on_without_doing_a_finished_step_again(
    tmp_path: Path, tower_folder: Path, teacher_folder: Path
) -> None:
    files, out = write_whole_run(tmp_path, tower_folder, teacher_folder), tmp_path / "out"
    first = start(*files, out)
    while not list((out / "train").glob("checkpoints/step-*")):
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    killed = read_manifest(out / MANIFEST).stages
    assert (killed["before"].state, killed["train"].state, killed["mmvp"].state) == ("done", "started", "waiting")
    assert not (out / "train" / "tower").exists()

    second = start(*files, out)
    printed, complaint = second.communicate()
    assert second.returncode == 0, complaint
    finished = read_manifest(out / MANIFEST).stages
    assert {record.state for record in finished.values()} == {"done"}
    assert finished["before"] == killed["before"]
    assert f"before: unchanged, {out}/before is kept" in printed
    steps = [json.loads(line)["step"] for line in (out / "train" / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, STEPS + 1))
    content = json.loads((out / "report" / "report.json").read_text())
    assert content["incomplete"] == []
    assert [tower["recipe"] for tower in content["towers"]] == [None, "tiny"]

    third = start(*files, out)
    printed, complaint = third.communicate()
    assert (third.returncode, complaint) == (0, "")
    assert "Nothing was run: all 3 steps and the report are unchanged." in printed
    assert read_manifest(out / MANIFEST).stages == finished


WAITER = """
import signal, sys, time
from pathlib import Path
out = Path(sys.argv[-1])
def stop(*_):
    out.with_name("asked").touch()
    sys.exit(3)
signal.signal(signal.SIGTERM, stop)
out.with_name("up").write_text(str(sys.flags.safe_path))
time.sleep(60)
"""


def test_sigterm_ends_every_step(tmp_path: Path, tower_folder: Path) -> None:
    (tmp_path / "waiter.py").write_text(WAITER)
    step = {"uses": "mmvp-vlm", "with": {"tower": str(tower_folder), "data": "nowhere"}}
    launcher = f"{sys.executable} {tmp_path / 'waiter.py'}"
    pipeline = tmp_path / "pipeline.yaml"
    pipeline.write_text(yaml.safe_dump({"steps": {"one": step, "two": step}, "launcher": launcher}))
    recipe = write_recipe_file(tmp_path / "tiny.yaml", tower=tower_folder, teacher=Path("none"), source="none")
    started = start(recipe, pipeline, tmp_path / "out", "--jobs", "2")
    while len(list((tmp_path / "out").glob("*/up"))) < 2:
        assert started.poll() is None, started.communicate()
        time.sleep(0.05)
    # no step imports a secrets.py of the current folder
    assert {path.read_text() for path in (tmp_path / "out").glob("*/up")} <= {"True", ""}
    started.send_signal(signal.SIGTERM)  # to it alone
    assert started.wait(timeout=30) == 128 + signal.SIGTERM
    assert len(list((tmp_path / "out").glob("*/asked"))) == 2
    records = read_manifest(tmp_path / "out" / MANIFEST).stages
    assert {name: record.state for name, record in records.items()} == {
        **{"one": "started", "two": "started"},
        "report": "waiting",
    }
