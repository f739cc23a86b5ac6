import json
from pathlib import Path

import pytest

from diva_benchmarks.report.training import POINTS, read_training
from tests.benchmarks.report.examples import write_metrics


def test_curves_of_one_kind_share_a_panel(tmp_path: Path) -> None:
    training = read_training(write_metrics(tmp_path / "metrics.jsonl"))
    names = {panel.title: [series.name for series in panel.series] for panel in training.panels}
    assert names == {
        "Loss": ["loss", "loss_sample_1"],
        "Gradient norm before clipping": ["grad_norm_tower", "grad_norm"],
        "Learning rate": ["lr"],
        "Probe": ["probe/colour", "probe/count"],
    }
    loss = training.panels[0].series[0]
    assert loss.steps == [1, 2, 3, 4, 5, 6]
    assert loss.values == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6])


def test_a_run_is_summed_up(tmp_path: Path) -> None:
    training = read_training(write_metrics(tmp_path / "a-run" / "metrics.jsonl"))
    assert (training.name, training.steps, training.images) == ("a-run", 6, 24)
    assert training.images_per_second == pytest.approx(13.5)
    assert training.memory_gib == 1.5
    assert training.stages == {"stage 1/2": 1, "stage 2/2": 4}


def test_a_long_run_keeps_its_first_and_last_step(tmp_path: Path) -> None:
    (loss, *_), *_ = (
        panel.series for panel in read_training(write_metrics(tmp_path / "m.jsonl", 3 * POINTS)).panels
    )
    assert len(loss.steps) == POINTS
    assert (loss.steps[0], loss.steps[-1]) == (1, 3 * POINTS)
    gaps = {after - before for before, after in zip(loss.steps, loss.steps[1:], strict=False)}
    assert gaps <= {3, 4}


def test_what_is_no_finite_number_is_no_point_of_a_curve(tmp_path: Path) -> None:
    lines = [{"step": 1, "loss": float("nan"), "note": "text"}, {"step": 2, "loss": 0.5}, {"step": 3, "loss": None}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (panel,) = read_training(tmp_path / "metrics.jsonl").panels
    assert [(series.name, series.steps, series.values) for series in panel.series] == [("loss", [2], [0.5])]
