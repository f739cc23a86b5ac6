"""The whole benchmark on tiny models."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from diva.cli import app
from diva.errors import Invalid, Unknown, Unwritable
from diva.results import read_result
from tests.fixtures.images import write_shards
from tests.fixtures.recipes import write_recipe_file


@pytest.fixture
def recipe(tmp_path: Path, tower_folder: Path, teacher_folder: Path) -> Path:
    source = write_shards(tmp_path / "images", 2, 8, side=40)
    return write_recipe_file(tmp_path / "tiny.yaml", tower=tower_folder, teacher=teacher_folder, source=source)


def bench(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["bench", "throughput", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_every_case_is_a_line_and_a_result_beside_the_baseline(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    counts = ("--updates", 2, "--warmup", 1, "--batch", 2)
    said = bench(recipe, "seed=5", *counts, "--baseline", "--options", "plain,cached", "--out", out)
    assert "× baseline" in said
    assert "milliseconds per update" in said
    results = {str(result.settings["options"]): result for result in map(read_result, sorted(out.glob("*.json")))}
    assert set(results) == {"baseline", "plain", "cached"}
    baseline, plain, cached = (results[name].metrics for name in ("baseline", "plain", "cached"))
    for metrics in (baseline, plain, cached):
        speed, share = metrics["images/s"].value, metrics["share of peak"].value
        assert speed > 0
        assert metrics["TFLOP/s"].value == pytest.approx(speed * metrics["TFLOP an image"].value)
        assert share == pytest.approx(metrics["TFLOP/s"].value / metrics["peak"].value)
        assert {"seconds an update: tower", "seconds an update: backward"} <= set(metrics)
    assert baseline["TFLOP an image"].value > plain["TFLOP an image"].value > cached["TFLOP an image"].value
    assert "seconds an update: VAE" in plain
    assert "seconds an update: VAE" not in cached
    # the same images and draws, so the same losses
    losses = {name: [item.details["loss"] for item in result.items] for name, result in results.items()}
    assert losses["plain"] == pytest.approx(losses["baseline"], rel=1e-4)
    assert results["plain"].baseline is not None
    assert results["plain"].run.seeds == [5]


def test_the_data_alone_needs_no_teacher(recipe: Path) -> None:
    said = bench(recipe, "denoiser.path=nowhere", "--stage", "data", "--shards", 5, "--updates", 2, "--batch", 4)
    assert "data only" in said
    assert " 5 " in said


@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        (["--stage", "tower"], pytest.raises(Invalid, match="--stage: 'tower'")),
        (["--updates", "0"], pytest.raises(Invalid, match="--updates: 0")),
        (["--random-weights"], pytest.raises(Unknown, match=r"--random-weights: denoiser.path 'teacher0'")),
    ],
)
def test_what_cannot_be_measured_is_refused(
    recipe: Path, arguments: list[str], refused: pytest.RaisesExc[Exception]
) -> None:
    with refused:
        bench(recipe, *arguments)


def test_a_place_for_a_result_that_is_taken_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "no-recipe-batch2-plain.json").mkdir()
    with pytest.raises(Unwritable, match=r"batch2-plain\.json:"):
        bench("no-recipe", "--batch", "1,2", "--out", tmp_path)
