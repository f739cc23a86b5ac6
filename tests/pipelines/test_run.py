"""What is run, what is kept, and what goes on after a failure; a small program stands for the steps' commands."""

import hashlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from diva.cli.run import check_words
from diva.errors import Failed, InputError, Invalid, Occupied, Unwritable
from diva.lock import locked
from diva.pipelines.manifest import MANIFEST, Manifest, read_manifest
from diva.pipelines.run import run
from tests.pipelines.conftest import Go, WritePipeline, step


def states(manifest: Manifest) -> dict[str, str]:
    return {name: record.state for name, record in manifest.stages.items()}


def times_run(out: Path, steps: Iterable[str]) -> list[int]:
    """Count the lines of each step's log: one for every run."""
    return [len((out / name / "log.txt").read_text().splitlines()) for name in steps]


def test_a_failure_stops_only_what_needs_it_and_the_same_command_goes_on(
    write_pipeline: WritePipeline, go: Go, maker: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"pairs": {"path": str(tmp_path / "pairs"), "source": "hf download MMVP/MMVP_VLM"}}
    steps = {
        "first": step(),
        "broken": step(),
        "idle": step(),
        "behind": step("broken"),
        "launch": step(launcher="no-such-program -N 2"),
        "lacks": step("pairs"),
        "last": step("first", control=True),
    }
    out, pipeline = tmp_path / "out", write_pipeline(steps, data, launcher=maker)
    with pytest.raises(Failed, match=f"{out}: .*broken.*idle.*launch"):
        go(pipeline)
    before = read_manifest(out / MANIFEST)
    assert (before.recipe, before.pipeline) == ("tiny", pipeline)
    assert states(before) == {
        **{"first": "done", "broken": "failed", "idle": "failed", "behind": "blocked", "lacks": "failed"},
        "launch": "failed",
        **{"last": "done", "report": "done"},
    }
    record = before.stages
    assert [name for name, each in record.items() if each.control] == ["last"]
    assert record["broken"].reason == "ended with status 1: no such thing"
    assert record["broken"].exit_status == 1
    assert record["idle"].reason == f"ended before it made {out}/idle/mmvp.json: asked for idle"
    assert record["behind"].reason == "needs broken"
    assert record["lacks"].reason.endswith("pairs is missing; where to get it: hf download MMVP/MMVP_VLM")
    unknown = "no-such-program: cannot be started (No such file or directory); see pipeline.launcher"
    assert record["launch"].reason == unknown
    assert record["last"].command[-4:] == ["--option-0", f"{out}/first", "--out", f"{out}/last/mmvp.json"]
    assert "torch" in record["last"].versions
    assert (out / "first" / "log.txt").read_text() == "asked for first\n"
    printed = capsys.readouterr().out
    assert "behind: blocked: needs broken" in printed
    assert printed.index("pairs is missing; where to get it: hf download") < printed.index("first: diva bench")

    (tmp_path / "pairs").mkdir()
    (tmp_path / "maker.py").write_text("import sys; open(sys.argv[-1], 'w').write('{}')")
    mended = write_pipeline({**steps, "launch": step()}, data, launcher=maker)
    go(mended)
    after = read_manifest(out / MANIFEST)
    assert set(states(after).values()) == {"done"}
    for kept in ("first", "last"):
        assert after.stages[kept] == before.stages[kept]
    assert "first: unchanged" in capsys.readouterr().out
    content = (out / MANIFEST).read_bytes()
    go(mended)
    assert "Nothing was run: all 7 steps and the report are unchanged." in capsys.readouterr().out
    assert (out / MANIFEST).read_bytes() == content


def test_a_step_is_run_again_when_what_it_was_made_from_changed(
    write_pipeline: WritePipeline, go: Go, maker: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"pairs": {"path": str(tmp_path / "pairs.csv")}}
    steps = {
        "one": step("pairs"),
        "two": step("one"),
        "apart": step(uses="train", makes=["mmvp.json"]),
    }
    (tmp_path / "maker.py").write_text(
        "import sys, pathlib; out = pathlib.Path(sys.argv[sys.argv.index('--out') + 1])\n"
        "(out if out.suffix else out / 'mmvp.json').write_text('{}')"
    )
    pipeline, out = write_pipeline(steps, data, launcher=maker), tmp_path / "out"
    (tmp_path / "pairs.csv").write_text("1")
    go(pipeline)

    def outlooks(*overrides: str) -> dict[str, str]:
        """Return what a dry run foretells."""
        capsys.readouterr()
        go(pipeline, *overrides, dry_run=True)
        names = tuple(f"{name}: " for name in steps)
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(names)]
        return dict(line.split(": ", 1) for line in lines)

    cached, changed = "cached", "to run: its command, its data, the recipe or what it needs changed"
    assert outlooks() == {"one": cached, "two": cached, "apart": cached}
    assert outlooks("seed=1") == {"one": cached, "two": cached, "apart": changed}
    assert outlooks("data.workers=2", "training.log_every=3")["apart"] == cached  # alter no number
    assert outlooks("pipeline.device=cuda") == {"one": cached, "two": cached, "apart": cached}
    assert outlooks("pipeline.steps.two.with.seeds=3")["two"] == changed
    (tmp_path / "pairs.csv").write_text("2")
    assert outlooks() == {"one": changed, "two": "to run after one", "apart": cached}
    (tmp_path / "pairs.csv").write_text("1")
    (out / "one" / "mmvp.json").write_text('{"other": 1}')
    (out / "apart" / "mmvp.json").unlink()
    assert outlooks() == {"one": cached, "two": changed, "apart": "to run: not made yet"}


def test_a_step_that_is_run_again_takes_those_behind_it_along_though_its_file_is_the_same(
    write_pipeline: WritePipeline, go: Go, maker: str, tmp_path: Path
) -> None:
    steps = {"one": step("pairs"), "two": step("one"), "three": step("two"), "apart": step()}
    data = {"pairs": {"path": str(tmp_path / "pairs.csv")}}
    pipeline, out = write_pipeline(steps, data, launcher=maker), tmp_path / "out"
    (tmp_path / "pairs.csv").write_text("1")
    go(pipeline)
    assert times_run(out, steps) == [1, 1, 1, 1]
    before = (out / "one" / "mmvp.json").read_bytes()
    (tmp_path / "pairs.csv").write_text("2")
    go(pipeline)
    assert (out / "one" / "mmvp.json").read_bytes() == before
    assert times_run(out, steps) == [2, 2, 2, 1]
    (tmp_path / "pairs.csv").write_text("3")
    go(pipeline, only=["one"])
    assert times_run(out, steps) == [3, 2, 2, 1]
    go(pipeline)
    assert times_run(out, steps) == [3, 3, 3, 1]


def test_a_step_that_is_done_again_in_the_same_way_leaves_those_behind_it(
    write_pipeline: WritePipeline, go: Go, maker: str, tmp_path: Path
) -> None:
    steps = {"one": step(), "two": step("one")}
    pipeline, out = write_pipeline(steps, launcher=maker), tmp_path / "out"
    go(pipeline)
    os.utime(out / "one" / "mmvp.json", ns=(1, 1))
    go(pipeline)
    assert times_run(out, steps) == [1, 1]
    shutil.rmtree(out / "one")
    go(pipeline)
    assert times_run(out, steps) == [1, 1]  # a new log of the first, and the old one of the other


@pytest.mark.parametrize("dry_run", [False, True])
def test_data_that_many_steps_read_are_hashed_once_and_what_a_step_made_once_for_all_runs(
    write_pipeline: WritePipeline,
    go: Go,
    maker: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dry_run: bool,
) -> None:
    hashed: list[str] = []
    digest = hashlib.file_digest

    def counted(file: BinaryIO, name: str) -> Any:
        hashed.append(Path(file.name).name)
        return digest(file, name)

    (tmp_path / "pairs.csv").write_text("1")
    steps = {"a": step("pairs"), "b": step("a", "pairs"), "c": step("a", "pairs")}
    pipeline = write_pipeline(steps, {"pairs": {"path": str(tmp_path / "pairs.csv")}}, launcher=maker)
    monkeypatch.setattr(hashlib, "file_digest", counted)
    go(pipeline)
    assert sorted(hashed) == ["mmvp.json", "pairs.csv"]
    go(pipeline, dry_run=dry_run)
    assert sorted(hashed) == ["mmvp.json", "pairs.csv", "pairs.csv"]


def test_a_step_that_was_killed_is_run_again_though_its_old_files_are_there(
    write_pipeline: WritePipeline, go: Go, maker: str, tmp_path: Path
) -> None:
    pipeline, out = write_pipeline({"one": step(), "two": step("one")}, launcher=maker), tmp_path / "out"
    go(pipeline)
    manifest = json.loads((out / MANIFEST).read_text())
    manifest["stages"]["one"]["state"] = "started"
    manifest["stages"]["one"]["proof"] = {"checker:": "MD5Checker"}  # as 0.1 kept them
    (out / MANIFEST).write_text(json.dumps(manifest))
    go(pipeline)
    assert times_run(out, ("one", "two")) == [2, 1]


def test_a_step_alone_leaves_the_others_and_says_what_it_lacks(
    write_pipeline: WritePipeline, go: Go, maker: str, tmp_path: Path
) -> None:
    pipeline, out = write_pipeline({"a": step(), "b": step("a")}, launcher=maker), tmp_path / "out"
    with pytest.raises(Failed, match="out:"):
        go(pipeline, only=["b"])
    manifest = read_manifest(out / MANIFEST)
    assert states(manifest) == {"a": "waiting", "b": "blocked", "report": "done"}
    assert manifest.stages["b"].reason == f"needs {out}/a/mmvp.json, which an earlier step makes"


def test_a_dry_run_names_missing_data_and_writes_nothing(
    write_pipeline: WritePipeline, go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"images": {"path": f"{tmp_path}/{{00..09}}.tar"}}
    out = tmp_path / "out"
    go(write_pipeline({"a": step(), "b": step("a"), "c": step("images")}, data), dry_run=True)
    printed = capsys.readouterr().out
    for line in (
        "a: to run: not made yet\n",
        f"  diva bench mmvp --option-0 {out}/a --out {out}/b/mmvp.json\n",
        "b: to run after a\n",
        "c: data missing\n",
        f"{tmp_path}/{{00..09}}.tar (10 files, the first {tmp_path}/00.tar) is missing; "
        "where to get it: docs/data.md\n",
    ):
        assert line in printed
    assert not out.exists()


def test_a_log_that_leads_elsewhere_is_not_written_through(
    write_pipeline: WritePipeline, go: Go, maker: str, tmp_path: Path
) -> None:
    pipeline, mine = write_pipeline({"a": step()}, launcher=maker), tmp_path / "mine.txt"
    mine.write_text("mine")
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "log.txt").symlink_to(mine)
    with pytest.raises(Failed, match="out:"):
        go(pipeline)
    reason = read_manifest(tmp_path / "out" / MANIFEST).stages["a"].reason
    assert "log.txt: is a symbolic link, which a file may not replace" in reason
    assert mine.read_text() == "mine"


def test_a_step_that_asks_for_help_is_refused() -> None:
    with pytest.raises(Invalid, match="mmvp: --help"):
        check_words(["bench", "mmvp", "--help"])


def test_what_cannot_work_is_refused_before_anything_is_run(
    write_pipeline: WritePipeline, go: Go, maker: str, tmp_path: Path
) -> None:
    pipeline, out = write_pipeline({"a": step()}, launcher=maker), tmp_path / "out"

    def nothing(words: Sequence[str]) -> None:
        raise InputError(f"'{words[1]}': No such option: --option-0")

    with pytest.raises(InputError, match=r"pipeline\.yaml: steps\.a\.with: 'mmvp': No such option"):
        go(pipeline, check=nothing)
    assert not out.exists()
    (tmp_path / "file").touch()
    with pytest.raises(Unwritable, match="file:"):
        run("diva/quickstart", [], tmp_path / "file", pipeline=pipeline, check=lambda _: None)
    out.mkdir()
    (out / MANIFEST).write_text('{"schema_version": 2}')
    with pytest.raises(Invalid, match=r"manifest\.json: schema_version:"):
        go(pipeline)
    (out / MANIFEST).unlink()
    with (
        locked(out),
        pytest.raises(Occupied, match="out:"),
    ):
        go(pipeline)


def test_a_recipe_of_0_1_with_a_pipeline_is_refused_with_what_takes_its_place(
    recipe: str, write_pipeline: WritePipeline, go: Go
) -> None:
    with Path(recipe).open("a") as file:
        file.write("pipeline: {stages: {a: {command: zoo, makes: [zoo.txt]}}}\n")
    with pytest.raises(Invalid, match=r"tiny\.yaml: pipeline: .*--pipeline"):
        go(write_pipeline({"a": step()}))


# each makes its file and then waits for the other's
MEET = """
import sys, time
from pathlib import Path
own = Path(sys.argv[-1])
own.write_text("{}")
other = {"a": "b", "b": "a"}.get(own.parent.name)
for _ in range(300):
    if other is None or (own.parents[1] / other / own.name).exists(): sys.exit()
    time.sleep(0.1)
sys.exit("alone")
"""


def test_steps_that_need_not_wait_for_each_other_run_at_once_and_the_others_wait(
    write_pipeline: WritePipeline, go: Go, tmp_path: Path
) -> None:
    (tmp_path / "meet.py").write_text(MEET)
    launcher = shlex.join([sys.executable, str(tmp_path / "meet.py")])
    pipeline = write_pipeline({"a": step(), "b": step(), "c": step("a", "b")}, launcher=launcher)
    go(pipeline, jobs=2)
    manifest = read_manifest(tmp_path / "out" / MANIFEST)
    assert set(states(manifest).values()) == {"done"}
    record = manifest.stages
    assert record["c"].started > max(record["a"].started, record["b"].started)
    with pytest.raises(Invalid, match="--jobs: 0"):
        go(pipeline, jobs=0)
