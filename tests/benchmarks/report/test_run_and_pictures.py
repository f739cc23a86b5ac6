"""What `diva run` and `diva visualize` left, and the picture sheets beside results, on the page."""

import hashlib
import json
from pathlib import Path

import pytest

from diva.pipelines.manifest import MANIFEST, write_manifest
from diva.results import write_result
from diva.visualize.index import INDEX
from diva_benchmarks.report.build import build
from diva_benchmarks.report.command import run
from diva_benchmarks.report.sources import read_sources
from tests.benchmarks.report.examples import AFTER, a_run, segmentation, write_png, write_visualised


def test_what_a_run_lacks_is_said_at_the_top_and_in_its_section(full_report: Path) -> None:
    (told,) = json.loads((full_report / "report.json").read_text())["runs"]
    assert told["missing"] == ["mmvp", "visualise"]
    assert [stage["name"] for stage in told["stages"]] == ["train", "mmvp", "visualise"]  # the report is at work
    for name in ("report.html", "report.md"):
        text = (full_report / name).read_text()
        assert "This report is not complete." in text
        assert "2 are not done: mmvp, visualise" in text
        assert "data/MMVP is missing" in text


def test_a_run_that_measured_nothing_still_has_its_report(tmp_path: Path) -> None:
    write_manifest(a_run(), tmp_path / MANIFEST)
    run([tmp_path], tmp_path / "report", published=False)
    assert json.loads((tmp_path / "report" / "report.json").read_text())["runs"][0]["missing"]


def test_pictures_are_in_the_page_and_their_hashes_in_the_json(full_report: Path) -> None:
    content = json.loads((full_report / "report.json").read_text())
    (sheet,) = content["segmentation"][0]["sheets"]
    assert sheet["path"].endswith("ade20k.sheet.png")
    assert sheet["sha256"] == hashlib.sha256(Path(sheet["path"]).read_bytes()).hexdigest()
    html = (full_report / "report.html").read_text()
    assert html.count("<img ") == 1 + 2 * 5
    assert "base64" not in (full_report / "report.json").read_text()
    (seen,) = content["qualitative"]
    assert seen["examples"][0]["right_after"]
    assert "wrong before, right after" in html


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
    assert content.qualitative == []
    assert [left.what for left in content.left_out] == [str(index)]
    assert "map.png" in content.left_out[0].reason
    assert content.segmentation[0].sheets == []


def test_a_newer_index_or_manifest_is_named_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text('{"schema_version": 2}')
    (tmp_path / MANIFEST).write_text('{"schema_version": 2}')
    reasons = {Path(left.what).name: left.reason for left in read_sources([tmp_path]).left_out}
    assert reasons[INDEX] == "is no index of schema 1; run `diva visualize` again"
    assert reasons[MANIFEST].startswith("is not a manifest of schema 1; remove it")


def test_classes_stand_apart_from_the_figures_of_all_classes(tmp_path: Path) -> None:
    write_result(segmentation(AFTER, 40), tmp_path / "ade20k.json")
    write_png(tmp_path / "ade20k.sheet.png", "teal")
    (each,) = build(read_sources([tmp_path]), published=False).segmentation
    assert [row.name for row in each.rows] == ["mIoU", "aAcc"]
    assert [row.name for row in each.details] == ["iou/wall"]
    assert (each.title, len(each.sheets)) == ("ade20k", 1)
