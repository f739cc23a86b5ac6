import json
from pathlib import Path

import pytest

from diva.results import write_result
from diva.run_folder import read_metrics
from diva_benchmarks.report.sources import read_sources
from tests.benchmarks.report.examples import AFTER, result, write_metrics


def test_results_are_found_at_any_depth_and_other_json_is_passed_over(tmp_path: Path) -> None:
    write_result(result(AFTER, [1]), tmp_path / "a" / "b" / "pope.json")
    (tmp_path / "a" / "open_clip_config.json").write_text('{"model_cfg": {}}')
    (tmp_path / "a" / "list.json").write_text("[1, 2]")
    (tmp_path / "a" / "coco_pope_random.json").write_text('{"question_id": 1}\n{"question_id": 2}\n')
    sources = read_sources([tmp_path])
    assert [entry.path for entry in sources.results] == [tmp_path / "a" / "b" / "pope.json"]
    assert sources.left_out == []


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    write_result(result(AFTER, [1]), tmp_path / "pope.json")
    assert len(read_sources([tmp_path, tmp_path / "pope.json"]).results) == 1


def test_a_newer_schema_is_named_with_its_remedy(tmp_path: Path) -> None:
    newer = json.loads(result(AFTER, [1]).model_dump_json()) | {"schema_version": 3}
    (tmp_path / "newer.json").write_text(json.dumps(newer))
    (left_out,) = read_sources([tmp_path]).left_out
    assert left_out.what == str(tmp_path / "newer.json")
    assert left_out.reason.startswith("schema_version: ")
    assert left_out.reason.endswith("read it with the version of diva that wrote it")


@pytest.mark.parametrize(
    "content",
    [
        '{"schema_version": 1, "bench',
        "",
        '{"schema_version": 1, "benchmark": "x"}',
        "\0",
        '{"schema_version": 1, "benchmark": "x"}\n}',
    ],
)
def test_a_broken_result_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "broken.json").write_text(content)
    (left_out,) = read_sources([tmp_path]).left_out
    assert left_out.what == str(tmp_path / "broken.json")
    assert "this is not a result file of schema 1 or 2" in left_out.reason


def test_a_json_file_that_is_named_by_itself_must_be_a_result(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (left_out,) = read_sources([tmp_path / "config.json"]).left_out
    assert "measure again" in left_out.reason


def test_the_recipe_beside_the_metrics_is_read_with_them(tmp_path: Path) -> None:
    metrics = write_metrics(tmp_path / "my-run" / "metrics.jsonl")
    (metrics.parent / "recipe.yaml").write_text("name: diva/x\n")
    sources = read_sources([metrics])
    assert [each.id for each in sources.sections] == ["training"]
    assert [(recipe.name, recipe.text) for recipe in sources.recipes] == [("diva/x", "name: diva/x\n")]


def test_a_broken_recipe_is_named_and_the_curves_stay(tmp_path: Path) -> None:
    write_metrics(tmp_path / "metrics.jsonl")
    (tmp_path / "recipe.yaml").write_text("name: [")
    sources = read_sources([tmp_path])
    assert [each.id for each in sources.sections] == ["training"]
    assert [each.what for each in sources.left_out] == [str(tmp_path / "recipe.yaml")]


def test_a_line_that_is_being_written_waits_for_the_next_report(tmp_path: Path) -> None:
    metrics = write_metrics(tmp_path / "metrics.jsonl", lines=3)
    metrics.write_text(metrics.read_text()[:-20])
    assert len(read_metrics(metrics)) == 2
    assert [each.id for each in read_sources([tmp_path]).sections] == ["training"]


def test_a_damaged_metrics_file_is_named_with_its_line(tmp_path: Path) -> None:
    metrics = write_metrics(tmp_path / "metrics.jsonl", lines=3)
    metrics.write_text(metrics.read_text()[:-20] + "\n")
    (left_out,) = read_sources([tmp_path]).left_out
    assert left_out.reason.startswith("line 3: is not a step of a training run")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[1]\n", b'{"loss": 1}\n'])
def test_a_file_that_holds_no_metrics_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(content)
    assert [each.what for each in read_sources([tmp_path]).left_out] == [str(tmp_path / "metrics.jsonl")]
