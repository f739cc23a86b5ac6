from pathlib import Path

from diva.results import write_result
from diva_benchmarks.report.build import build as build_content
from diva_benchmarks.report.render import render
from diva_benchmarks.report.sources import read_sources
from tests.benchmarks.report.conftest import Build
from tests.benchmarks.report.examples import AFTER, BEFORE, against, mmbench, mmvp, result, right_in_each
from tests.benchmarks.report.figures import change, rows, section, text


def test_a_language_model_s_figures_stand_beside_the_tower_s_own(build: Build) -> None:
    ours = against(mmbench(AFTER, [1, 0, 1, 1]), mmbench(BEFORE, [1, 0, 0, 1]))
    content = build(ours, against(mmvp(AFTER, right_in_each(2)), mmvp(BEFORE, right_in_each(1))))
    assert [tower["label"] for tower in content["towers"]] == ["before", "after"]
    assert [row["name"] for row in content["summary"]] == ["MMVP-VLM", "MMBench: en-dev"]
    said = text(section(content, "mmbench")["blocks"])
    assert "letters by rule · llama 6.7B · projector + lora · MMBench_DEV_EN" in said
    assert list(rows(content, "mmbench")) == ["circular", "unread"]
    assert list(rows(content, "mmbench", 1)) == ["circular/category/ocr"]
    difference = change(rows(content, "mmbench")["circular"], 1)
    assert (difference["value"], difference["wins"], difference["losses"]) == (25, 1, 0)


def test_a_swap_without_training_is_never_set_against_a_trained_one(build: Build) -> None:
    content = build(mmbench(BEFORE, [1, 0, 0, 1]), mmbench(AFTER, [0, 0, 0, 1], training="zero-retrain"))
    assert [row["note"].split(" · ")[2] for row in content["summary"]] == ["projector + lora", "zero-retrain"]
    assert [change(row, 1) for row in content["summary"]] == [None, None]
    (left_out,) = content["left_out"]
    assert "other settings" in left_out["reason"]


def test_open_answers_without_a_judge_are_reported_as_without_a_score(tmp_path: Path) -> None:
    unjudged = result(AFTER, [1], "llava-bench", "not judged", part="wild", metrics={}, items=[])
    write_result(unjudged, tmp_path / "llava-bench-wild.json")
    content = build_content(read_sources([tmp_path]), published=False)
    assert content.sections == []
    (left_out,) = content.left_out
    assert left_out.reason == "llava-bench/wild of 'after': holds no metric (not judged)"


def test_where_most_answers_were_unread_the_first_screen_says_so_and_compares_nothing(build: Build) -> None:
    ours = against(mmbench(AFTER, [1, 0, 1, 1], unread=75.0), mmbench(BEFORE, [1, 0, 0, 1], unread=50.0))
    content = build(ours)
    (row,) = content["summary"]
    assert [each["kind"] for each in row["cells"][0]] == ["number"]
    assert row["cells"][1][-1]["text"] == "unread: 75 % of the answers"
    assert change(row, 1) is None
    assert change(rows(content, "mmbench")["circular"], 1) is not None
    (verdict,) = content["verdicts"]
    assert verdict["sentence"] == (
        "Nothing could be tested against the baseline."
        " MMBench: en-dev says nothing: most of its answers could not be read."
    )


def test_an_unread_baseline_is_compared_with_nobody(build: Build) -> None:
    content = build(against(mmbench(AFTER, [1, 1], unread=0.0), mmbench(BEFORE, [0, 0], unread=100.0)))
    (row,) = content["summary"]
    assert row["cells"][0][-1]["text"] == "unread: 100 % of the answers"
    assert change(row, 1) is None
    assert "most of the baseline's answers could not be read" in content["verdicts"][0]["sentence"]


def test_the_markdown_holds_every_category(tmp_path: Path) -> None:
    write_result(mmbench(AFTER, [1, 0]), tmp_path / "mmbench-en-dev.json")
    page = render(build_content(read_sources([tmp_path]), published=False))["report.md"]
    assert "### MMBench: en-dev" in page
    assert "circular/category/ocr" in page
