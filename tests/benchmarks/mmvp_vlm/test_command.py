import shutil
from pathlib import Path
from typing import Any

import pytest

from diva.cli.tasks import run
from diva.errors import Damaged, Invalid, Mismatch, Missing, Unknown, Unwritable
from diva.results import read_result
from diva_benchmarks.mmvp_folder import TITLES
from diva_benchmarks.mmvp_vlm.task import TASK
from tests.fixtures.towers import transformers_model


def bench(tower: Path, data: Path, **changes: Any) -> None:
    run(TASK, str(tower), data, **{"batch": 8, "device": "cpu"} | changes)


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # no sentence is broken into lines


def test_two_towers_are_shown_and_written_side_by_side(
    tower_folder: Path,
    other_tower_folder: Path,
    mmvp_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "result.json"
    bench(tower_folder, mmvp_folder, against=str(other_tower_folder), out=out)
    result, shown = read_result(out), capsys.readouterr().out
    assert result.subject.source == str(tower_folder)
    assert result.baseline is not None
    assert result.baseline.subject.source == str(other_tower_folder)
    (comparison,) = result.comparisons
    average = result.metrics["average"]
    assert comparison.difference == pytest.approx(average.value - result.baseline.metrics["average"].value)
    for title in TITLES.values():
        assert title in shown
    assert f"tower: {tower_folder}\n  average {average.value:.1f} %, 95 % interval" in shown
    assert f"baseline: {other_tower_folder}\n" in shown
    assert "exact McNemar p" in shown
    assert "no change shown" in shown  # 18 pairs of two random towers


def test_a_baseline_that_reads_no_text_is_refused_before_the_tower_is_measured(
    tower_folder: Path, mmvp_folder: Path, tmp_path: Path
) -> None:
    transformers_model("CLIPVisionModelWithProjection").save_pretrained(tmp_path / "image tower")
    data = Path(shutil.copytree(mmvp_folder, tmp_path / "data"))
    for picture in data.rglob("*.jpg"):
        picture.write_bytes(b"damaged")
    with pytest.raises(Mismatch, match="--tower"):
        bench(tower_folder, data, against=str(tmp_path / "image tower"))
    with pytest.raises(Damaged, match="jpg"):  # which measuring would find
        bench(tower_folder, data)


def test_a_tower_alone_is_shown_without_a_verdict(
    tower_folder: Path, mmvp_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench(tower_folder, mmvp_folder)
    shown = capsys.readouterr().out
    assert "Viewpoint and Perspective" in shown
    assert "difference" not in shown


def test_a_random_protocol_shows_its_spread_over_the_seeds(
    tower_folder: Path, mmvp_folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bench(tower_folder, mmvp_folder, protocol="diva-openai", seeds=3, out=tmp_path / "result.json")
    spread = read_result(tmp_path / "result.json").metrics["average"].spread
    shown = capsys.readouterr().out
    assert " % over 3 seeds" in shown
    assert f"standard deviation {spread:.1f} over the seeds" in shown


def test_a_tower_against_itself_differs_in_nothing(
    tower_folder: Path, mmvp_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench(tower_folder, mmvp_folder, against=str(tower_folder))
    expected = (
        "average: difference +0.0 points, 95 % interval +0.0 to +0.0: no change shown"
        " (0 won, 0 lost, exact McNemar p = 1)."
    )
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"seeds": 0}, pytest.raises(Invalid, match=r"seeds: .*1")),
        ({"batch": -1}, pytest.raises(Invalid, match="--batch: -1")),
        ({"protocol": "pool"}, pytest.raises(Unknown, match=r"--protocol: 'pool'.*'pooled'")),
        ({"device": "quantum"}, pytest.raises(Invalid, match="--device: 'quantum'")),
        ({"device": "cuda:99"}, pytest.raises(Invalid, match="--device: 'cuda:99'")),
        ({"against_checkpoint": Path("base.pt")}, pytest.raises(Missing, match=r"--against-checkpoint: base.pt")),
        ({"against": "openai-vit-l14-22"}, pytest.raises(Unknown, match="'openai-vit-l14-224'")),
        ({"out": Path()}, pytest.raises(Unwritable, match=r"\.:")),
        ({"data": Path("absent")}, pytest.raises(Damaged, match=r"absent/Questions.csv:")),
    ],
)
def test_an_option_that_cannot_be_used_is_named_before_anything_is_measured(
    tower_folder: Path,
    mmvp_folder: Path,
    changes: dict[str, Any],
    refused: pytest.RaisesExc[Exception],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with refused:
        bench(tower_folder, **{"data": mmvp_folder} | changes)
    assert capsys.readouterr() == ("", "")


def test_a_measurement_that_fails_leaves_no_result(tower_folder: Path, mmvp_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(mmvp_folder, tmp_path / "mmvp"))
    (folder / "MLLM_VLM Images" / "Text" / "29.jpg").write_bytes(b"")
    with pytest.raises(Damaged, match=r"29\.jpg"):
        bench(tower_folder, folder, out=tmp_path / "result.json")
    assert [entry.name for entry in tmp_path.iterdir()] == ["mmvp"]
