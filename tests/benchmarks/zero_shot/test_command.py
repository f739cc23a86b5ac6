import multiprocessing
import os
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from diva.errors import Failed, Invalid, Missing, Unknown, Unwritable
from diva.results import read_result
from diva_benchmarks.zero_shot.command import run
from diva_benchmarks.zero_shot.sets import SETS
from tests.fixtures.contract import every_figure_is_on_the_page
from tests.fixtures.zero_shot import DIGITS, write_digits, write_prompts


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")  # no sentence is broken into lines


def bench(tower: Path | str, data: Path, **changes: Any) -> None:
    options: dict[str, Any] = {
        "against": None,
        "checkpoint": None,
        "against_checkpoint": None,
        "sets": None,
        "out": None,
        "cache": None,
        "batch": 32,
        "device": "cpu",
        "margin": 1.0,
    }
    run(str(tower), data=data, **options | changes)


def states(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def poison(folder: Path) -> None:
    """Overwrite every image, leaving size and time of each file as they were."""
    for path in folder.rglob("*.tar"):
        time_ns, content = path.stat().st_mtime_ns, path.read_bytes()
        path.write_bytes(content.replace(b"\x89PNG", b"junk").replace(b"\xff\xd8\xff", b"jpg"))
        assert path.read_bytes() != content
        os.utime(path, ns=(time_ns, time_ns))


def test_two_towers_are_shown_and_written_set_by_set(
    tower_folder: Path,
    other_tower_folder: Path,
    sets_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bench(tower_folder, sets_folder, against=str(other_tower_folder), out=tmp_path / "out", margin=2.5)
    names = sorted(path.name for path in (tmp_path / "out").glob("*.json"))
    assert names == ["zero_shot-flickr30k.json", "zero_shot-mnist.json", "zero_shot-voc2007.json", "zero_shot.json"]
    summary, shown = read_result(tmp_path / "out" / "zero_shot.json"), capsys.readouterr().out
    assert [item.id for item in summary.items] == ["mnist", "voc2007", "flickr30k"]
    for item in summary.items:
        result = read_result(tmp_path / "out" / f"zero_shot-{item.id}.json")
        assert result.metrics[result.headline].value == pytest.approx(100 * item.outcome)
        assert f"{100 * item.outcome:.1f} [" in shown
        assert SETS[item.id].title in shown
    assert every_figure_is_on_the_page(sorted((tmp_path / "out").glob("*.json")), tmp_path / "report") > 40
    absent = [name for name in SETS if name not in ("mnist", "voc2007", "flickr30k")]
    assert [each.name for each in summary.missing if each.reason == "absent"] == absent
    assert f"absent: 26 of 29 sets ({', '.join(absent)})" in shown
    assert re.search(
        r"zero-shot ability undecided: 3 sets with \d+ items cannot decide this; it takes 2 .* 500\.", shown
    )
    assert f"baseline: {other_tower_folder}\ntower: {tower_folder}\n" in shown


def test_folders_of_other_sets_are_named(
    tower_folder: Path, sets_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(sets_folder, tmp_path / "data")
    (tmp_path / "data" / "my-birds").mkdir()
    bench(tower_folder, tmp_path / "data")
    assert "not among the 29 sets, and not measured: my-birds; to measure" in capsys.readouterr().err
    bench(tower_folder, tmp_path / "data", sets="mnist")  # chosen by hand
    assert "my-birds" not in capsys.readouterr().err


def test_a_rerun_touches_nothing_and_says_so(
    tower_folder: Path, sets_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench(tower_folder, sets_folder, out=tmp_path / "out")
    first, before = capsys.readouterr(), states(tmp_path)
    assert "cache" not in first.err
    bench(tower_folder, sets_folder, out=tmp_path / "out")
    second = capsys.readouterr()
    assert states(tmp_path) == before
    assert second.out == first.out
    for name in ("-mnist", "-voc2007", "-flickr30k", ""):
        assert f"unchanged, {tmp_path / 'out'}/zero_shot{name}.json is kept" in second.err


def test_a_baseline_added_later_is_all_that_is_encoded(
    tower_folder: Path,
    other_tower_folder: Path,
    sets_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, cache = Path(shutil.copytree(sets_folder, tmp_path / "data")), tmp_path / "cache"
    bench(tower_folder, data, out=tmp_path / "one", cache=cache)
    bench(other_tower_folder, data, cache=cache)
    poison(data)
    capsys.readouterr()
    bench(tower_folder, data, out=tmp_path / "both.json", cache=cache, against=str(other_tower_folder))
    shown = capsys.readouterr().err
    for tower in (tower_folder, other_tower_folder):
        assert f"mnist: image embeddings of {tower}: from the cache" in shown
        assert f"mnist: text classifier of {tower}: from the cache" in shown
        assert f"flickr30k: text embeddings of {tower}: from the cache" in shown
    for name in ("mnist", "voc2007", "flickr30k"):
        alone, both = (
            read_result(tmp_path / "one" / f"zero_shot-{name}.json"),
            read_result(tmp_path / f"both-{name}.json"),
        )
        assert (both.metrics, both.items) == (alone.metrics, alone.items)
    assert read_result(tmp_path / "both.json").baseline is not None


def test_a_broken_set_is_told_and_the_others_are_measured(
    tower_folder: Path, sets_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(shutil.copytree(sets_folder, tmp_path / "data"))
    write_prompts(data / "wds_mnist", DIGITS[:9])
    with pytest.raises(Failed, match=r"1.*\(mnist\)"):
        bench(tower_folder, data, out=tmp_path / "out")
    shown = capsys.readouterr()
    assert "s0000009.cls: '9' is not a label of 9 classes (0 to 8)" in shown.err
    assert "failed: 1 of 29 sets (mnist)" in shown.out
    assert ("mnist", "failed") in [
        (each.name, each.reason) for each in read_result(tmp_path / "out" / "zero_shot.json").missing
    ]
    before = states(tmp_path / "out")
    write_prompts(data / "wds_mnist", DIGITS)
    bench(tower_folder, data, out=tmp_path / "out")
    after = states(tmp_path / "out")
    assert "zero_shot-mnist.json" in after
    assert all(after[name] == state for name, state in before.items() if name != "zero_shot.json")


def test_a_run_that_was_killed_goes_on_with_the_set_it_had_begun(
    tower_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_digits(tmp_path / "data" / "cifar10", 30)
    write_digits(tmp_path / "data" / "mnist", 700)
    data, out = tmp_path / "data", tmp_path / "out"
    first = out / "zero_shot-cifar10.json"
    run_apart = multiprocessing.get_context("fork").Process(
        target=bench, args=(tower_folder, data), kwargs={"out": out}
    )
    run_apart.start()
    while run_apart.is_alive() and not first.exists():
        time.sleep(0.01)
    run_apart.kill()
    run_apart.join()
    assert run_apart.exitcode == -signal.SIGKILL
    assert not (out / "zero_shot-mnist.json").exists()
    before = first.stat().st_mtime_ns
    bench(tower_folder, data, out=out)
    assert f"cifar10: unchanged, {first} is kept" in capsys.readouterr().err
    assert first.stat().st_mtime_ns == before
    assert [item.id for item in read_result(out / "zero_shot.json").items] == ["cifar10", "mnist"]


def test_a_set_that_is_none_of_the_29_is_named_by_its_folder(
    tower_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_digits(tmp_path / "data" / "my digits", 20)
    bench(tower_folder, tmp_path / "data", sets="my digits,pets", out=tmp_path / "out")
    shown = capsys.readouterr().out
    assert "absent: 1 of 2 sets (pets)" in shown
    assert "difference" not in shown
    result = read_result(tmp_path / "out" / "zero_shot-my digits.json")
    assert (result.measured, result.headline) == ("zero-shot/my digits", "acc1")


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"batch": 0}, pytest.raises(Invalid, match="--batch: 0")),
        ({"margin": -1.0}, pytest.raises(Invalid, match=r"--margin: -1\.0")),
        ({"device": "quantum"}, pytest.raises(Invalid, match="--device: 'quantum'")),
        ({"against_checkpoint": Path("base.pt")}, pytest.raises(Missing, match=r"--against-checkpoint: base\.pt")),
        ({"against": "openai-vit-l14-22"}, pytest.raises(Unknown, match="'openai-vit-l14-224'")),
        ({"sets": "minst"}, pytest.raises(Unknown, match=r"--sets: 'minst'.*'mnist'")),
        ({"sets": "dtd"}, pytest.raises(Missing, match="dtd")),
        ({"data": Path("absent")}, pytest.raises(Invalid, match="--data: absent")),
        ({"out": Path(__file__)}, pytest.raises(Unwritable, match=r"test_command\.py:")),
    ],
)
def test_an_option_that_cannot_be_used_is_named_before_anything_is_measured(
    tower_folder: Path,
    sets_folder: Path,
    changes: dict[str, Any],
    refused: pytest.RaisesExc[Exception],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with refused:
        bench(tower_folder, **{"data": sets_folder} | changes)
    assert capsys.readouterr() == ("", "")


def test_a_place_for_a_result_that_is_taken_is_told_before_a_tower_is_loaded(
    sets_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "out" / "zero_shot-mnist.json").mkdir(parents=True)
    (tmp_path / "tower").mkdir()
    with pytest.raises(Unwritable, match=r"zero_shot-mnist\.json:"):
        bench(tmp_path / "tower", sets_folder, out=tmp_path / "out")
    (tmp_path / "link").symlink_to("tower")
    with pytest.raises(Unwritable, match=r"link: .*symbolic"):
        bench(tmp_path / "tower", sets_folder, out=tmp_path / "link")
