import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diva_benchmarks.report.content import Cell, Difference, Panel, Patterns, Row, Series, StudyGroup
from diva_benchmarks.report.methods import read_methods
from diva_benchmarks.report.plots import curves, forest, intervals, radar
from tests.benchmarks.report.examples import study, study_line, write_study


def row(name: str, value: float, difference: Difference | None = None, unit: str = "percent") -> Row:
    return Row(name=name, unit=unit, n=15, cells=[Cell(value=value), Cell(value=value, difference=difference)])


def patterns(names: list[str]) -> Patterns:
    rows = [row(name, 10.0 + number) for number, name in enumerate([*names, "Average"])]
    return Patterns(protocol="pooled", data="MMVP-VLM", chance=25, rows=rows, changed=[])


@pytest.fixture
def compared(tmp_path: Path) -> list[StudyGroup]:
    """A method whose pairs fell, a control whose pairs rose, and one that was run on one base only."""
    lines = [
        study_line("DIVA", (-2.0, -3.0, -1.0), (4.0, 3.0, 5.0)),
        study_line("a condition of quite another image", (3.0, 2.0, 4.0), (4.0, 3.0, 5.0), group="controls"),
        study_line("$x_1$", 0.0, (4.0, 3.0, 5.0), group="controls"),
    ]
    return read_methods(write_study(tmp_path / "study.json", study(*lines))).compared


def texts(svg: str) -> list[str]:
    return [
        "".join(each.itertext()) for each in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_a_radar_has_a_spoke_for_each_pattern() -> None:
    names = ["Orientation", "Presence", "State", "Quantity", "Position", "Colour", "Structure", "Texts", "View"]
    svg = radar(patterns(names))
    assert set(names) <= set(texts(svg))
    assert "25" in texts(svg)  # the ring at the chance level


def test_a_forest_names_every_line_under_its_group_and_draws_an_interval_only_where_there_is_one(
    compared: list[StudyGroup],
) -> None:
    svg = forest(compared, "pairs")
    names = " ".join(texts(svg))
    place = [names.index(name) for name in ("DIVA", "no preservation", "controls", "a condition of quite", "$x_1$")]
    assert place == sorted(place)
    assert svg.count("stroke-width: 1.6") == 2
    assert forest(compared, "zero_shot").count("stroke-width: 1.6") == 3


def test_drawings_take_every_colour_from_the_page_and_load_nothing(compared: list[StudyGroup]) -> None:
    drawn = [
        radar(patterns(["a", "b", "c"])),
        intervals([row("a", 1, Difference(value=1, interval=(0.5, 2)))]) or "",
        curves(Panel(title="Loss", series=[Series(name="loss", steps=[1, 2], values=[1, 0.5])]), {"1": 1, "2": 2}),
        forest(compared, "pairs"),
    ]
    for svg in drawn:
        colours = re.findall(r"(?:fill|stroke): ?([^;\"]+)", svg)
        assert colours
        assert {colour.strip() for colour in colours} <= {"none", "currentColor"} | {
            colour for colour in colours if colour.startswith("var(--")
        }
        assert not re.search(r"(href|src)=\"(?!#)|url\((?!#)|<style|<script|<image", svg)
        assert ElementTree.fromstring(svg).get("aria-label")


def test_two_drawings_on_one_page_share_no_id() -> None:
    ids = [
        set(re.findall(r' id="([^"]+)"', svg))
        for svg in (radar(patterns(["a", "b", "c"])), radar(patterns(["a", "b", "d"])))
    ]
    assert all(ids)
    assert not ids[0] & ids[1]


def test_every_reference_within_a_drawing_holds() -> None:
    series = [Series(name="loss", steps=[1], values=[1.0])]
    svg = curves(Panel(title="Loss", series=series), {})
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', svg)) == set(re.findall(r' id="([^"]+)"', svg))


@settings(max_examples=15, deadline=None)
@given(st.text(min_size=1))
def test_any_name_can_be_drawn_and_stays_text(name: str) -> None:
    svg = intervals([row(name, 1, Difference(value=1, interval=(0.5, 2)))])
    assert svg is not None
    ElementTree.fromstring(svg)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '$x_1$ & "y"', "左右"])
def test_names_are_neither_markup_nor_formulas(name: str) -> None:
    svg = intervals([row(name, 1, Difference(value=1, interval=(0.5, 2)))]) or ""
    assert name in texts(svg)
    assert "<script" not in svg


def test_differences_in_other_units_are_not_drawn_on_one_scale_with_points() -> None:
    assert intervals([row("speed", 98, Difference(value=30), unit="images/s")]) is None
    assert intervals([row("alone", 98)]) is None
