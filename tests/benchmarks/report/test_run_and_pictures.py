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
from tests.benchmarks.report.figures import rows, section, text


def test_what_a_run_lacks_is_said_at_the_top_and_in_its_section(full_report: Path) -> None:
    content = json.loads((full_report / "report.json").read_text())
    assert content["incomplete"] == ["Of the 3 stages of diva/openai-vit-l14-224, 2 are not done: mmvp, visualise."]
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
    assert reasons[INDEX] == "is no index of schema 1; run `diva visualize` again"
    assert reasons[MANIFEST].startswith("is not a manifest of schema 1; remove it")


def test_classes_stand_apart_from_the_figures_of_all_classes(tmp_path: Path) -> None:
    write_result(segmentation(AFTER, 40), tmp_path / "ade20k.json")
    write_png(tmp_path / "ade20k.sheet.png", "teal")
    content = build(read_sources([tmp_path]), published=False).model_dump(mode="json")
    assert list(rows(content, "segmentation")) == ["mIoU", "aAcc"]
    assert list(rows(content, "segmentation", 1)) == ["IoU/wall"]
    assert section(content, "segmentation")["blocks"][-1]["kind"] == "pictures"
