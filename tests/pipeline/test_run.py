"""What is run, what is kept, and what goes on after a failure; a small program stands for the stages' commands."""

import hashlib
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from diva.errors import InputError, RunError
from diva.lock import locked
from diva.pipeline.manifest import MANIFEST, Manifest, read_manifest
from diva.pipeline.run import run
from tests.pipeline.conftest import WriteRecipe, stage


def anything(_words: Sequence[str]) -> None:
    """Accept every command."""


def states(manifest: Manifest) -> dict[str, str]:
    return {name: record.state for name, record in manifest.stages.items()}


def times_run(out: Path, stages: Iterable[str]) -> list[int]:
    """Count the lines of each stage's log: one for every run."""
    return [len((out / name / "log.txt").read_text().splitlines()) for name in stages]


def test_a_failure_stops_only_what_needs_it_and_the_same_command_goes_on(
    write_pipeline: WriteRecipe, maker: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"pairs": {"path": str(tmp_path / "pairs"), "source": "hf download MMVP/MMVP_VLM"}}
    stages = {
        "first": stage("make {out}/a.json", "a.json"),
        "fails": stage("make {out}/broken.json", "broken.json"),
        "idle": stage("make {out}/nothing.json", "nothing.json"),
        "behind": stage("make {fails} {out}/b.json", "b.json"),
        "launch": stage("make {out}/e.json", "e.json", launcher="no-such-program -N 2"),
        "lacks": stage("make {pairs} {out}/c.json", "c.json"),
        "last": stage("make {first} {out}/d.json", "d.json"),
    }
    out = tmp_path / "out"
    recipe = str(write_pipeline(stages, data, launcher=maker))
    with pytest.raises(RunError, match=f"{out}: not done: fails, behind, idle, lacks, launch; "):
        run(recipe, [], out, check=anything)
    before = read_manifest(out / MANIFEST)
    assert states(before) == {
        **{"first": "done", "fails": "failed", "idle": "failed", "behind": "blocked", "lacks": "failed"},
        "launch": "failed",
        **{"last": "done", "report": "done"},
    }
    record = before.stages
    assert record["fails"].reason == "ended with status 1: no such thing"
    assert record["fails"].exit_status == 1
    assert record["idle"].reason.startswith(f"ended before it made {out}/idle/nothing.json: asked for nothing")
    assert record["behind"].reason == "needs fails"
    assert record["lacks"].reason.endswith("pairs is missing; where to get it: hf download MMVP/MMVP_VLM")
    unknown = "no-such-program: cannot be started (No such file or directory); see pipeline.launcher"
    assert record["launch"].reason == unknown
    assert record["last"].command[-3:] == ["make", f"{out}/first", f"{out}/last/d.json"]
    assert "torch" in record["last"].versions
    assert (out / "first" / "log.txt").read_text() == "asked for a.json\n"
    printed = capsys.readouterr().out
    assert "behind: blocked: needs fails" in printed
    assert printed.index("pairs is missing; where to get it: hf download") < printed.index("first: diva make")

    (tmp_path / "pairs").mkdir()
    mended = {**stages, "fails": stage("make {out}/broken-no-more.json", "broken-no-more.json")}
    mended["idle"] = stage("make {out}/something.json", "something.json")
    mended["launch"] = stage("make {out}/e.json", "e.json")
    run(str(write_pipeline(mended, data, launcher=maker)), [], out, check=anything)
    after = read_manifest(out / MANIFEST)
    assert set(states(after).values()) == {"done"}
    for kept in ("first", "last"):
        assert after.stages[kept] == before.stages[kept]
    assert "first: unchanged" in capsys.readouterr().out
    content = (out / MANIFEST).read_bytes()
    run(str(write_pipeline(mended, data, launcher=maker)), [], out, check=anything)
    assert "Nothing was run: all 7 stages and the report are unchanged." in capsys.readouterr().out
    assert (out / MANIFEST).read_bytes() == content


def test_a_stage_is_run_again_when_what_it_was_made_from_changed(
    write_pipeline: WriteRecipe, maker: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"pairs": {"path": str(tmp_path / "pairs.csv")}}
    stages = {
        "one": stage("make {pairs} {out}/a.json", "a.json"),
        "two": stage("make {one} {out}/b.json", "b.json"),
        "apart": stage("make {recipe} {out}/c.json", "c.json"),
    }
    recipe, out = str(write_pipeline(stages, data, launcher=maker)), tmp_path / "out"
    (tmp_path / "pairs.csv").write_text("1")
    run(recipe, [], out, check=anything)

    def outlooks(*overrides: str) -> dict[str, str]:
        """Return what a dry run foretells."""
        capsys.readouterr()
        run(recipe, overrides, out, dry_run=True, check=anything)
        lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith((" ", "report"))]
        return dict(line.split(": ", 1) for line in lines)

    cached, changed = "cached", "to run: its command, its data, the recipe or what it needs changed"
    assert outlooks() == {"one": cached, "two": cached, "apart": cached}
    assert outlooks("seed=1") == {"one": cached, "two": cached, "apart": changed}
    assert outlooks("pipeline.device=cuda") == {"one": cached, "two": cached, "apart": cached}
    assert outlooks("pipeline.stages.two.command=make {one} b.json")["two"] == changed
    (tmp_path / "pairs.csv").write_text("2")
    assert outlooks() == {"one": changed, "two": "to run after one", "apart": cached}
    (tmp_path / "pairs.csv").write_text("1")
    (out / "one" / "a.json").write_text('{"other": 1}')
    (out / "apart" / "c.json").unlink()
    assert outlooks() == {"one": cached, "two": "to run: what it needs changed", "apart": "to run: not made yet"}


def test_a_stage_that_is_run_again_takes_those_behind_it_along_though_its_file_is_the_same(
    write_pipeline: WriteRecipe, maker: str, tmp_path: Path
) -> None:
    stages = {
        "one": stage("make {pairs} {out}/a.json", "a.json"),
        "two": stage("make {one} {out}/b.json", "b.json"),
        "three": stage("make {two} {out}/c.json", "c.json"),
        "apart": stage("make {out}/d.json", "d.json"),
    }
    data = {"pairs": {"path": str(tmp_path / "pairs.csv")}}
    recipe, out = str(write_pipeline(stages, data, launcher=maker)), tmp_path / "out"

    def runs() -> list[int]:
        return times_run(out, stages)

    (tmp_path / "pairs.csv").write_text("1")
    run(recipe, [], out, check=anything)
    assert runs() == [1, 1, 1, 1]
    before = (out / "one" / "a.json").read_bytes()
    (tmp_path / "pairs.csv").write_text("2")
    run(recipe, [], out, check=anything)
    assert (out / "one" / "a.json").read_bytes() == before
    assert runs() == [2, 2, 2, 1]
    (tmp_path / "pairs.csv").write_text("3")
    run(recipe, [], out, only=["one"], check=anything)
    assert runs() == [3, 2, 2, 1]
    run(recipe, [], out, check=anything)
    assert runs() == [3, 3, 3, 1]


def test_a_stage_that_is_done_again_in_the_same_way_leaves_those_behind_it(
    write_pipeline: WriteRecipe, maker: str, tmp_path: Path
) -> None:
    stages = {
        "train": stage("make {recipe} {out}/a.json", "a.json"),
        "two": stage("make {train} {out}/b.json", "b.json"),
    }
    recipe, out = str(write_pipeline(stages, launcher=maker)), tmp_path / "out"

    def runs(*overrides: str) -> list[int]:
        run(recipe, overrides, out, check=anything)
        return times_run(out, stages)

    assert runs() == [1, 1]
    assert runs("data.workers=2", "training.log_every=3") == [1, 1]  # alter no number
    shutil.rmtree(out / "train")
    assert runs() == [1, 1]  # a new log of train's, and the old one of the other
    assert runs("seed=5") == [2, 2]


@pytest.mark.parametrize("dry_run", [False, True])
def test_data_that_many_stages_read_are_hashed_once(
    write_pipeline: WriteRecipe, maker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    hashed: list[str] = []
    digest = hashlib.file_digest

    def counted(file: BinaryIO, name: str) -> Any:
        hashed.append(file.name)
        return digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    (tmp_path / "pairs.csv").write_text("1")
    stages = {name: stage(f"make {{pairs}} {{out}}/{name}.json", f"{name}.json") for name in ("a", "b", "c")}
    recipe = write_pipeline(stages, {"pairs": {"path": str(tmp_path / "pairs.csv")}}, launcher=maker)
    run(str(recipe), [], tmp_path / "out", dry_run=dry_run, check=anything)
    assert hashed.count(str(tmp_path / "pairs.csv")) == 1


def test_a_stage_alone_leaves_the_others_and_says_what_it_lacks(
    write_pipeline: WriteRecipe, maker: str, tmp_path: Path
) -> None:
    stages = {"a": stage("make {out}/a.json", "a.json"), "b": stage("make {a} {out}/b.json", "b.json")}
    recipe, out = str(write_pipeline(stages, launcher=maker)), tmp_path / "out"
    with pytest.raises(RunError, match="not done: b; "):
        run(recipe, [], out, only=["b"], check=anything)
    manifest = read_manifest(out / MANIFEST)
    assert states(manifest) == {"a": "waiting", "b": "blocked", "report": "done"}
    assert manifest.stages["b"].reason == f"needs {out}/a/a.json, which an earlier stage makes"


def test_a_dry_run_names_missing_data_and_writes_nothing(
    write_pipeline: WriteRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"images": {"path": f"{tmp_path}/{{00..09}}.tar", "source": "docs/data.md"}}
    stages = {
        "a": stage("make {out}/a.json", "a.json"),
        "b": stage("make {a} {out}/b.json", "b.json"),
        "c": stage("make {images} {out}/c.json", "c.json"),
    }
    out = tmp_path / "out"
    run(str(write_pipeline(stages, data)), [], out, dry_run=True, check=anything)
    printed = capsys.readouterr().out
    for line in (
        "a: to run: not made yet\n",
        f"  diva make {out}/a {out}/b/b.json\n",
        "b: to run after a\n",
        "c: data missing\n",
        f"{tmp_path}/{{00..09}}.tar (10 files, the first {tmp_path}/00.tar) is missing; "
        "where to get it: docs/data.md\n",
    ):
        assert line in printed
    assert not out.exists()


def test_what_cannot_work_is_refused_before_anything_is_run(
    write_pipeline: WriteRecipe, maker: str, tmp_path: Path
) -> None:
    recipe, out = str(write_pipeline({"a": stage("make {out}/a.json", "a.json")}, launcher=maker)), tmp_path / "out"

    def nothing(words: Sequence[str]) -> None:
        raise InputError(f"no such verb '{words[0]}'")

    with pytest.raises(InputError, match=r"pipeline\.stages\.a\.command: no such verb 'make'"):
        run(recipe, [], out, check=nothing)
    assert not out.exists()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file; give the run's folder"):
        run(recipe, [], tmp_path / "file", check=anything)
    out.mkdir()
    (out / MANIFEST).write_text('{"schema_version": 2}')
    with pytest.raises(InputError, match="is not a manifest of schema 1; remove it"):
        run(recipe, [], out, check=anything)
    (out / MANIFEST).unlink()
    with (
        locked(out),
        pytest.raises(InputError, match="another command is at work there"),
    ):
        run(recipe, [], out, check=anything)


# each makes its file and then waits for the other's
MEET = """
import sys, time
from pathlib import Path
own = Path(sys.argv[-1])
own.write_text("{}")
other = {"a.json": "b/b.json", "b.json": "a/a.json"}.get(own.name)
for _ in range(300):
    if other is None or (own.parents[1] / other).exists(): sys.exit()
    time.sleep(0.1)
sys.exit("alone")
"""


def test_stages_that_need_not_wait_for_each_other_run_at_once_and_the_others_wait(
    write_pipeline: WriteRecipe, tmp_path: Path
) -> None:
    (tmp_path / "meet.py").write_text(MEET)
    stages = {name: stage(f"make {{out}}/{name}.json", f"{name}.json") for name in ("a", "b")}
    stages["c"] = stage("make {a} {b} {out}/c.json", "c.json")
    recipe = write_pipeline(stages, launcher=shlex.join([sys.executable, str(tmp_path / "meet.py")]))
    run(str(recipe), [], tmp_path / "out", check=anything, jobs=2)
    manifest = read_manifest(tmp_path / "out" / MANIFEST)
    assert set(states(manifest).values()) == {"done"}
    record = manifest.stages
    assert record["c"].started > max(record["a"].started, record["b"].started)
    with pytest.raises(InputError, match="--jobs: 0 is too few"):
        run(str(recipe), [], tmp_path / "out", check=anything, jobs=0)
