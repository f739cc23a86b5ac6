"""What `diva run` and `diva visualize` left, and the picture sheets beside results, on the page."""

import hashlib
import json
from pathlib import Path

import pytest

from diva.pipelines.manifest import MANIFEST, write_manifest
from diva.results import Item, Result, write_result
from diva.visualize.index import INDEX
from diva_benchmarks.report.build import build
from diva_benchmarks.report.command import run
from diva_benchmarks.report.sources import read_sources
from tests.benchmarks.report.examples import (
    AFTER,
    BEFORE,
    a_run,
    against,
    result,
    segmentation,
    write_png,
    write_visualised,
)
from tests.benchmarks.report.figures import rows, section, text


def test_what_a_run_lacks_is_said_at_the_top_and_in_its_section(full_report: Path) -> None:
    content = json.loads((full_report / "report.json").read_text())
    assert content["incomplete"] == ["Of the 3 steps of diva/openai-vit-l14-224, 2 are not done: mmvp, visualise."]
    assert list(rows(content, "run")) == ["train", "mmvp", "visualise"]  # the report is at work
    for name in ("report.html", "report.md"):
        page = (full_report / name).read_text()
        assert "This report is not complete." in page
        assert "2 are not done: mmvp, visualise" in page
        assert "data/MMVP is missing" in page


def test_a_run_that_measured_nothing_still_has_its_report(tmp_path: Path) -> None:
    write_manifest(a_run(), tmp_path / MANIFEST)
    run([tmp_path], tmp_path / "report", published=False)
    assert json.loads((tmp_path / "report" / "report.json").read_text())["incomplete"]


def test_pictures_are_in_the_page_and_their_hashes_in_the_json(full_report: Path) -> None:
    content = json.loads((full_report / "report.json").read_text())
    (sheet,) = section(content, "segmentation")["blocks"][-1]["pictures"]
    assert sheet["path"].endswith("ade20k.sheet.png")
    assert sheet["sha256"] == hashlib.sha256(Path(sheet["path"]).read_bytes()).hexdigest()
    html = (full_report / "report.html").read_text()
    assert html.count('<img src="data:image/png') == 1 + 2 * 5
    assert "base64" not in (full_report / "report.json").read_text()
    assert "wrong before, right after" in text(section(content, "qualitative")["blocks"])
    assert "wrong before, right after" in html


def test_both_images_of_a_pair_stand_first_with_their_statements(full_report: Path) -> None:
    content = json.loads((full_report / "report.json").read_text())
    strips = [
        block["pictures"] for block in section(content, "qualitative")["blocks"] if block["kind"] == "pictures"
    ]
    assert [each["caption"] for each in strips[0]] == [
        "Image 1: “a dog on the left”",
        "Image 2: “a dog on the right”",
    ]
    generated = ["tokens before", "tokens after", "generated before", "generated after"]
    assert [[each["caption"] for each in strip] for strip in strips[1:]] == [generated, generated]


@pytest.mark.parametrize(("size", "width"), [((48, 48), 192), ((30, 112), 60), ((224, 8), 224), ((900, 300), 900)])
def test_small_pictures_are_shown_a_whole_number_of_times_as_large(
    tmp_path: Path, size: tuple[int, int], width: int
) -> None:
    write_result(segmentation(AFTER, 40), tmp_path / "ade20k.json")
    write_png(tmp_path / "ade20k.sheet.png", "teal", size)
    run([tmp_path], tmp_path / "report", published=False)
    assert f'style="flex-basis: {width}px"' in (tmp_path / "report" / "report.html").read_text()


def answered(picture: str) -> Result:
    items = [
        [
            Item(
                id="7",
                group="all",
                outcome=outcome,
                details={"question": "Red?", "answer": said},
                pictures=[picture],
            )
        ]
        for outcome, said in ((0.0, "No"), (1.0, "Yes"))
    ]
    return against(result(AFTER, [1], items=items[1]), result(BEFORE, [0], items=items[0]))


def test_a_changed_answer_stands_with_its_picture_and_its_question(tmp_path: Path) -> None:
    write_result(answered("7.png"), tmp_path / "pope.json")
    write_png(tmp_path / "7.png", "teal")
    (details,) = [
        block
        for block in section(build(read_sources([tmp_path]), published=False).model_dump(mode="json"), "pope")[
            "blocks"
        ]
        if block["kind"] == "details"
    ]
    strip, table = details["blocks"]
    assert [each["path"] for each in strip["pictures"]] == [str(tmp_path / "7.png")]
    said = "".join(str(each.get("text", each.get("value"))) for each in strip["caption"])
    assert said == "7 · question: Red? · answer: No → Yes · outcome 0.0 → 1.0"
    assert len(table["rows"]) == 1


def test_a_lost_picture_of_an_answer_is_named_and_its_result_stays(tmp_path: Path) -> None:
    write_result(answered("gone.png"), tmp_path / "pope.json")
    sources = read_sources([tmp_path])
    assert [entry.result.task for entry in sources.results] == ["pope"]
    (left_out,) = sources.left_out
    assert "gone.png" in left_out.reason


def test_without_a_teacher_there_are_no_drawn_images(tmp_path: Path) -> None:
    write_visualised(tmp_path, drawn=False)
    run([tmp_path], tmp_path / "report", published=False)
    html = (tmp_path / "report" / "report.html").read_text()
    assert html.count("<img ") == 2 * 3
    assert "DDIM" not in html


@pytest.mark.parametrize("damage", ["", "no PNG"])
def test_a_lost_or_broken_picture_is_named_and_nothing_else_is_lost(tmp_path: Path, damage: str) -> None:
    index = write_visualised(tmp_path / "pictures")
    write_result(segmentation(AFTER, 40), tmp_path / "ade20k.json")
    if damage:
        (index.parent / "map.png").write_text(damage)
    else:
        (index.parent / "map.png").unlink()
    sources = read_sources([tmp_path])
    content = build(sources, published=False)
    assert "qualitative" not in [each.id for each in content.sections]
    assert [left.what for left in content.left_out] == [str(index)]
    assert "map.png" in content.left_out[0].reason


def test_a_newer_index_or_manifest_is_named_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text('{"schema_version": 2}')
    (tmp_path / MANIFEST).write_text('{"schema_version": 2}')
    reasons = {Path(left.what).name: left.reason for left in read_sources([tmp_path]).left_out}
    assert reasons[INDEX] == "schema_version: Input should be 1; run `diva visualize` again"
    assert reasons[MANIFEST].startswith("schema_version: Input should be 1; remove it")


def test_classes_stand_apart_from_the_figures_of_all_classes(tmp_path: Path) -> None:
    write_result(segmentation(AFTER, 40), tmp_path / "ade20k.json")
    write_png(tmp_path / "ade20k.sheet.png", "teal")
    content = build(read_sources([tmp_path]), published=False).model_dump(mode="json")
    assert list(rows(content, "segmentation")) == ["mIoU", "aAcc"]
    assert list(rows(content, "segmentation", 1)) == ["IoU/wall"]
    assert section(content, "segmentation")["blocks"][-1]["kind"] == "pictures"
