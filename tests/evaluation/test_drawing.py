import base64
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diva.evaluation.drawing import MARKERS, SERIES
from diva.evaluation.intervals import intervals
from diva.evaluation.section import Change, Figure, Key, Number, Row

KEYS = [Key(text="before", number=0, dashes=0), Key(text="after", number=1, dashes=1)]


def row(name: str, value: float, change: Change | None = None, unit: str = "percent") -> Row:
    number = Number(value=value, unit=unit)
    return Row(name=name, n=15, cells=[[number], [number, change] if change else [number]])


def svg(figure: Figure) -> str:
    head, _, content = figure.uri.partition(",")
    assert head == "data:image/svg+xml;base64"
    return base64.b64decode(content).decode()


def texts(drawing: str) -> list[str]:
    """Return what is written in a drawing."""
    root = ElementTree.fromstring(drawing)
    return ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]


def drawn(name: str) -> str:
    (figure,) = intervals([row(name, 1, Change(value=1, interval=(0.5, 2)))], KEYS)
    return svg(figure)


def test_a_drawing_loads_nothing_and_says_what_it_shows() -> None:
    (figure,) = intervals([row("a", 1, Change(value=1, interval=(0.5, 2)))], KEYS)
    assert not re.search(r"(href|src)=\"(?!#)|url\((?!#)|<script|<image", svg(figure))
    assert figure.description
    assert "uri" not in figure.model_dump()  # report.json holds the figures themselves


def test_the_same_rows_are_drawn_the_same() -> None:
    assert drawn("a") == drawn("a")


def test_an_interval_is_drawn_only_where_there_is_one() -> None:
    with_one, without = (
        svg(intervals([row("a", 1, Change(value=1, interval=each))], KEYS)[0]) for each in ((0.5, 2), None)
    )
    assert (with_one.count("stroke-width: 1.6"), without.count("stroke-width: 1.6")) == (1, 0)


@settings(max_examples=15, deadline=None)
@given(st.text(min_size=1))
def test_any_name_can_be_drawn_and_stays_text(name: str) -> None:
    ElementTree.fromstring(drawn(name))


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '$x_1$ & "y"', "左右"])
def test_names_are_neither_markup_nor_formulas(name: str) -> None:
    assert name in texts(drawn(name))
    assert "<script" not in drawn(name)


def test_differences_in_other_units_are_not_drawn_on_one_scale_with_points() -> None:
    assert intervals([row("speed", 98, Change(value=30, unit="images/s"), unit="images/s")], KEYS) == []
    assert intervals([row("alone", 98)], KEYS) == []


def test_no_two_of_thirty_towers_look_alike() -> None:
    looks = {(1 + (number - 1) % (len(SERIES) - 1), number % len(MARKERS)) for number in range(1, 31)}
    assert len(looks) == 30
