import base64
import json
from itertools import pairwise
from pathlib import Path

import pytest

from diva.evaluation.section import Panels
from diva.run_folder import read_metrics
from diva_benchmarks.report.training import POINTS, errors_of, panels_of, read_training
from tests.benchmarks.report.examples import write_metrics
from tests.benchmarks.report.figures import of_blocks, text


def test_curves_of_one_kind_share_a_panel(tmp_path: Path) -> None:
    panels = panels_of(read_metrics(write_metrics(tmp_path / "metrics.jsonl")))
    assert {title: list(curves) for title, curves in panels.items()} == {
        "Loss": ["loss", "loss_sample_1"],
        "Gradient norm before clipping": ["grad_norm_tower", "grad_norm"],
        "Learning rate": ["lr"],
        "Probe": ["probe/colour", "probe/count"],
    }
    assert panels["Loss"]["loss"] == [(step, pytest.approx(1 / step)) for step in range(1, 7)]


def test_a_run_is_summed_up(tmp_path: Path) -> None:
    training, _ = read_training(write_metrics(tmp_path / "a-run" / "metrics.jsonl"))
    blocks = training.model_dump(mode="json")["blocks"]
    said = text(blocks)
    assert said.startswith("a-run")
    assert "6 steps, 24 images" in said
    assert "stage 2/2 begins" in said
    assert list(of_blocks(blocks)) == [pytest.approx(13.5), 1.5 * 2**30]
    assert next(figure["caption"] for figure in blocks[2]["figures"]) == "Loss"


def test_a_standard_error_is_a_band_and_no_curve(tmp_path: Path) -> None:
    lines = [{"step": step, "gap": step / 100, "gap_error": 0.25, "lone_error": 1.0} for step in (1, 2)]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    metrics = read_metrics(path)
    assert list(panels_of(metrics)) == ["Gap", "Lone error"]
    assert errors_of(metrics) == {"gap": {1: 0.25, 2: 0.25}}
    panels = read_training(path)[0].blocks[2]
    assert isinstance(panels, Panels)
    assert panels.figures[0].caption == "Gap, with a band of 2 standard errors on both sides"
    band, without = (base64.b64decode(figure.uri.partition(",")[2]).decode() for figure in panels.figures)
    assert ("FillBetween" in band, "FillBetween" in without) == (True, False)


def test_a_long_run_keeps_its_first_and_last_step(tmp_path: Path) -> None:
    loss = panels_of(read_metrics(write_metrics(tmp_path / "m.jsonl", 3 * POINTS)))["Loss"]["loss"]
    steps = [step for step, _ in loss]
    assert len(steps) == POINTS
    assert (steps[0], steps[-1]) == (1, 3 * POINTS)
    assert {after - before for before, after in pairwise(steps)} <= {3, 4}


def test_what_is_no_finite_number_is_no_point_of_a_curve(tmp_path: Path) -> None:
    lines = [{"step": 1, "loss": float("nan"), "note": "text"}, {"step": 2, "loss": 0.5}, {"step": 3, "loss": None}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert panels_of(read_metrics(tmp_path / "metrics.jsonl")) == {"Loss": {"loss": [(2, 0.5)]}}
