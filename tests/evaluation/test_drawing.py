import base64
import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure as Plot
from numpy.typing import NDArray

from diva.evaluation.drawing import MARKERS, SERIES, dashes, drawn, house_style, logarithmic, power_of_ten, shade
from diva.evaluation.measures import Measured, Tower
from diva.evaluation.multiples import difference_panels, differences, levels
from diva.evaluation.section import Change, Figure, Number, Panels, Row

TOWERS = [
    Tower(label=label, role=role, architecture="", source="", sha256=label, recipe=None, share=None)
    for label, role in (("before", "baseline"), ("after", "tower"), ("other", "control"))
]
MEASURED = Measured(TOWERS, [])
# simulation of full dichromacy in linear RGB: Machado, Oliveira and Fernandes 2009, table of severity 1.0
DICHROMACY = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "none": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
}


def row(name: str, *changes: Change | None, unit: str = "percent") -> Row:
    number = Number(value=1, unit=unit)
    cells = [[number, change] if change else [number] for change in changes]
    return Row(name=name, n=15, cells=[[number], *cells, *[[] for _ in range(2 - len(cells))]])


def change(value: float = 1, interval: tuple[float, float] | None = (0.5, 2), unit: str = "percent") -> Change:
    return Change(value=value, interval=interval, unit=unit)


def svg(figure: Figure) -> str:
    head, _, content = figure.uri.partition(",")
    assert head == "data:image/svg+xml;base64"
    return base64.b64decode(content).decode()


def texts(drawing: str) -> list[str]:
    """Return what is written in a drawing."""
    root = ElementTree.fromstring(drawing)
    return ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]


def of_name(name: str) -> str:
    (figure,) = difference_panels([row(name, change())], MEASURED)
    return svg(figure)


def test_a_drawing_loads_nothing_and_says_what_it_shows() -> None:
    (figure,) = difference_panels([row("a", change())], MEASURED)
    assert not re.search(r"(href|src)=\"(?!#)|url\((?!#)|<script|<image", svg(figure))
    assert figure.description == "after against before"
    assert "uri" not in figure.model_dump()  # report.json holds the figures themselves


def test_the_same_rows_are_drawn_the_same() -> None:
    assert of_name("a") == of_name("a")


def test_an_interval_is_drawn_only_where_there_is_one() -> None:
    with_one, without = (
        svg(difference_panels([row("a", change(interval=each))], MEASURED)[0]) for each in ((0.5, 2), None)
    )
    assert (with_one.count("stroke-width: 1.6"), without.count("stroke-width: 1.6")) == (1, 0)


@settings(max_examples=15, deadline=None)
@given(st.text(min_size=1))
def test_any_name_can_be_drawn_and_stays_text(name: str) -> None:
    ElementTree.fromstring(of_name(name))


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '$x_1$ & "y"', "左右"])
def test_names_are_neither_markup_nor_formulas(name: str) -> None:
    assert name in texts(of_name(name))
    assert "<script" not in of_name(name)


def test_differences_in_other_units_are_not_drawn_on_one_scale_with_points() -> None:
    assert differences([row("speed", change(30, unit="images/s"), unit="images/s")], MEASURED) == []
    assert differences([row("alone", None)], MEASURED) == []


def test_each_tower_has_a_panel_of_its_own_on_a_scale_that_all_share() -> None:
    rows = [row("a", change(1), change(-30, (-35, -25))), row("b", change(2), change(-20, None))]
    (panels, _) = differences(rows, MEASURED)
    assert isinstance(panels, Panels)
    assert [[key.text for key in figure.keys] for figure in panels.figures] == [["after"], ["other"]]
    first, second = ([text for text in texts(svg(figure)) if text != "a"] for figure in panels.figures)
    assert first == second  # the same numbers on the axis, and the same rows


def test_levels_stand_beside_the_baseline_s_one_tower_at_a_time() -> None:
    (panels, _) = levels([row("a", change()), row("b", change())], MEASURED, guessing=25)
    assert isinstance(panels, Panels)
    assert [[key.text for key in figure.keys] for figure in panels.figures] == [["before", "after"]]


def test_no_two_of_thirty_towers_look_alike() -> None:
    looks = {(1 + (number - 1) % (len(SERIES) - 1), number % len(MARKERS)) for number in range(1, 31)}
    assert len(looks) == 30


def test_no_two_of_eighteen_curves_look_alike() -> None:
    assert len({(shade(number), dashes(number)) for number in range(18)}) == 18


def test_powers_of_ten_are_plain_characters() -> None:
    assert [power_of_ten(value) for value in (1e-3, 0.1, 1, 10, 1e12)] == ["10⁻³", "0.1", "1", "10", "10¹²"]
    with house_style():
        plot = Plot()
        axes = plot.add_subplot()
        axes.plot([1, 2, 3], [1e-5, 1e-3, 1e-4])
        logarithmic(axes)
        said = svg(drawn(plot, "a curve"))
    assert "10⁻⁴" in texts(said)
    assert not re.search(r"\$|\\math", said)


@pytest.mark.parametrize("sight", DICHROMACY)
def test_colours_of_towers_are_told_apart_by_everyone(sight: str) -> None:
    # 0.02 in Oklab is a difference that is just noticed side by side; small marks apart need several times that
    seen = [oklab(np.array(DICHROMACY[sight]) @ linear(colour)) for colour in SERIES]
    assert min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2)) > 0.12


def linear(colour: str) -> NDArray[np.float64]:
    shares = np.array([int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


def oklab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return lightness, a and b (Ottosson 2020) of linear RGB."""
    to_cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    found: NDArray[np.float64] = to_lab @ np.cbrt(to_cones @ rgb.clip(0, 1))
    return found
