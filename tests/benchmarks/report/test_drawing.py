import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.report.content import Cell, Difference, Panel, Patterns, Row, Series
from benchmarks.report.plots import curves, intervals, radar


def row(name: str, value: float, difference: Difference | None = None, unit: str = "percent") -> Row:
    return Row(name=name, unit=unit, n=15, cells=[Cell(value=value), Cell(value=value, difference=difference)])


def patterns(names: list[str]) -> Patterns:
    rows = [row(name, 10.0 + number) for number, name in enumerate([*names, "Average"])]
    return Patterns(protocol="pooled", data="MMVP-VLM", chance=25, rows=rows, changed=[])


def texts(svg: str) -> list[str]:
    return [
        "".join(each.itertext()) for each in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_a_radar_has_a_spoke_for_each_pattern() -> None:
    names = ["Orientation", "Presence", "State", "Quantity", "Position", "Colour", "Structure", "Texts", "View"]
    svg = radar(patterns(names))
    assert set(names) <= set(texts(svg))
    assert "25" in texts(svg)  # the ring at the chance level


def test_drawings_take_every_colour_from_the_page_and_load_nothing() -> None:
    drawn = [
        radar(patterns(["a", "b", "c"])),
        intervals([row("a", 1, Difference(value=1, interval=(0.5, 2)))]) or "",
        curves(Panel(title="Loss", series=[Series(name="loss", steps=[1, 2], values=[1, 0.5])]), {"1": 1, "2": 2}),
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
