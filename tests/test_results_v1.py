"""Files that diva 0.1 wrote, as it wrote them."""

import json
from pathlib import Path
from typing import Any

import pytest

from diva.errors import Invalid
from diva.results import Metric, Missing, read_result

SHIPPED = Path(__file__).parents[1] / "benchmarks" / "results" / "cpu"


def version_1(benchmark: str, protocol: str, metrics: dict[str, Any], **changes: Any) -> dict[str, Any]:
    figures = {
        name: {
            "value": value,
            "unit": "percent",
            "n": n,
            "interval": None,
            "spread": None,
            "higher_is_better": True,
        }
        for name, (value, n) in metrics.items()
    }
    run = {"command": ["diva"], "started": "2026-01-01T00:00:00Z", "wall_seconds": 1, "peak_memory_bytes": 1}
    return {
        "schema_version": 1,
        "benchmark": benchmark,
        "protocol": protocol,
        "subject": {
            "label": "x",
            "source": "x",
            "architecture": "x",
            "sha256": "0" * 64,
            "recipe": None,
            "share": None,
        },
        "data": {"name": "x", "path": "x", "fingerprint": "1" * 64, "items": 2},
        "metrics": figures,
        "items": [],
        "run": run | {"seeds": [], "versions": {}, "device": "cpu"},
        "baseline": None,
        "comparisons": [],
    } | changes


def comparison(metric: str) -> dict[str, Any]:
    return {
        "metric": metric,
        "difference": -0.5,
        "interval": [-0.9, -0.1],
        "test": "sign test",
        "p_value": 0.01,
        "wins": 1,
        "losses": 2,
    }


def read(path: Path, document: dict[str, Any]) -> Any:
    (path / "result.json").write_text(json.dumps(document))
    return read_result(path / "result.json")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.json")), ids=lambda path: path.stem)
def test_every_shipped_file_of_version_1_opens(path: Path) -> None:
    found = read_result(path)
    assert (found.schema_version, found.task) == (2, "throughput")
    assert found.metrics["images/s"].value == json.loads(path.read_bytes())["metrics"]["images/s"]["value"]


def test_a_pooled_measurement_is_comparable_with_one_of_today(tmp_path: Path) -> None:
    found = read(tmp_path, version_1("mmvp-vlm", "pooled", {"average": (30.0, 135)}))
    assert (found.task, found.headline, found.settings) == ("mmvp-vlm", "average", {"protocol": "pooled"})


def test_the_zero_shot_average_gets_its_margin_and_names_what_is_missing(tmp_path: Path) -> None:
    metrics = {"average": (70.0, 2), "margin": (1.0, 0), "absent/pets": (0.0, 0), "failed/cars": (0.0, 0)}
    found = read(tmp_path, version_1("zero_shot", "average", metrics, comparisons=[comparison("average")]))
    assert (found.measured, found.headline, list(found.metrics)) == ("zero-shot", "average", ["average"])
    assert found.missing == [Missing(name="pets", reason="absent"), Missing(name="cars", reason="failed")]
    assert (found.comparisons[0].margin, found.comparisons[0].p_value) == (1.0, 0.01)


@pytest.mark.parametrize(
    ("benchmark", "protocol", "metric", "measured"),
    [
        ("zero_shot/cifar10", "acc1", "acc1", "zero-shot/cifar10"),
        ("pope-random", "yes or no", "accuracy", "pope/random"),
        ("mmbench-en-dev", "letters", "circular", "mmbench/en-dev"),
        ("mmvp-vqa", "letters", "pairs", "mmvp-vqa"),
        ("llava-bench-wild", "judged", "relative", "llava-bench/wild"),
        ("segmentation/ade20k", "linear", "mIoU", "segmentation/ade20k"),
    ],
)
def test_benchmarks_become_tasks_with_their_parts(
    tmp_path: Path, benchmark: str, protocol: str, metric: str, measured: str
) -> None:
    found = read(tmp_path, version_1(benchmark, protocol, {metric: (50.0, 2)}))
    assert (found.measured, found.headline) == (measured, metric)
    assert found.metrics[metric] == Metric(value=50, unit="percent", n=2)


def test_a_mean_iou_loses_the_test_of_another_figure_and_its_counts_become_numbers(tmp_path: Path) -> None:
    item = {
        "id": "a",
        "group": "images",
        "outcome": 0.5,
        "details": {"image": "a.jpg", "classes": "0 3", "label": "7 9"},
    }
    document = version_1("segmentation/ade20k", "linear", {"mIoU": (50.0, 2), "IoU/wall": (50.0, 2)}, items=[item])
    found = read(tmp_path, document | {"comparisons": [comparison("mIoU"), comparison("image_IoU")]})
    assert [each.p_value for each in found.comparisons] == [None, 0.01]
    assert [each.breakdown for each in found.metrics.values()] == ["", "class"]
    assert found.items[0].details == {"image": "a.jpg", "classes": [0, 3], "label": [7, 9]}


@pytest.mark.parametrize("damage", [{"metrics": None}, {"benchmark": 3}, {"items": [1]}, {"comparisons": [{}]}])
def test_a_damaged_file_of_version_1_is_refused_in_one_sentence(tmp_path: Path, damage: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match=r"1.*2") as caught:
        read(tmp_path, version_1("pope-random", "x", {"accuracy": (50.0, 2)}) | damage)
    assert "\n" not in str(caught.value)


def test_damaged_metrics_and_labels_are_told(tmp_path: Path) -> None:
    for change in (
        {"metrics": ["abc"]},
        {"items": [{"id": "1", "correct": True, "details": {"label": "1" * 5000}}]},
    ):
        path = tmp_path / "result.json"
        path.write_text(json.dumps(version_1("mmvp_vlm", "x", {"average": (1.0, 1)}) | change))
        with pytest.raises(Invalid, match=r"result\.json:"):
            read_result(path)
