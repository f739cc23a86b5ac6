"""Turning a matplotlib figure into a picture of the page: SVG in a data URI, which no style of the page reaches.

It is drawn in the page's light colours; the page inverts it on a dark ground.
"""

import base64
import io
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from diva.evaluation.judgement import Judgement
from diva.evaluation.section import Change, Figure, Key

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Plot

INK, FAINT = "#1a1f24", "#c4cbd3"
# The baseline's, then those of towers. Chosen by search for the largest least distance (in Oklab) between any two
# as seen by people with normal vision, protanopia, deuteranopia and tritanopia, at a contrast of 3:1 with white.
SERIES = ("#59636e", "#0052cc", "#cc7a00", "#590000", "#3d93cc", "#091959")
SHADES = (INK, "#59636e", "#8b949e")  # of curves that are no tower's
# with five colours beside the baseline's: no two of thirty look alike
DASHES = ("solid", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 3)))
MARKERS = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼", "P": "✚"}  # matplotlib's, and in a legend
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.unicode_minus": True,
    "axes.formatter.use_mathtext": False,
    "font.size": 9,
    "font.family": "sans-serif",
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "svg.fonttype": "none",  # the browser's fonts know more characters than matplotlib's
    "svg.hashsalt": "diva",
    "text.color": INK,
    "text.parse_math": False,  # a label may hold any character, dollar signs too
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
}


def colour(number: int) -> str:
    """Return the colour of the tower in column `number`; the first is the baseline's alone."""
    return SERIES[1 + (number - 1) % (len(SERIES) - 1)] if number else SERIES[0]


def dashes(number: int) -> str | tuple[float, tuple[float, ...]]:
    """Return the line of the column or curve `number`, as matplotlib draws it."""
    return DASHES[number % len(DASHES)]


def shade(number: int) -> str:
    """Return the colour of the curve `number` that is no tower's; with its dashes it is the only one of 18."""
    return SHADES[(number + number // len(DASHES)) % len(SHADES)]


def marker(number: int) -> str:
    """Return the mark of the tower in column `number`, as matplotlib names it."""
    return list(MARKERS)[number % len(MARKERS)]


def tower_key(number: int, text: str) -> Key:
    """Return the entry of a legend for the tower in column `number`."""
    return Key(text=text, colour=colour(number), dashes=number, mark=MARKERS[marker(number)])


def logarithmic(axes: "Axes") -> None:
    """Give `axes` a logarithmic y axis whose powers of ten are written in plain characters."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())


def power_of_ten(value: float) -> str:
    """Write a power of ten, such as "10⁻³"; one near 1 as a number."""
    exponent = round(math.log10(value))
    return f"{value:g}" if abs(exponent) < 2 else f"10{str(exponent).translate(SUPERSCRIPTS)}"


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the page's colours and sizes within this context."""
    import matplotlib  # takes half a second, and most commands draw nothing

    with matplotlib.rc_context(_STYLE):
        yield


def drawn(plot: "Plot", description: str, *, caption: str = "", keys: Sequence[Key] = ()) -> Figure:
    """Return `plot`, drawn in `house_style`, as a figure of a section; `description` is read out for it."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the browser's have it
        plot.savefig(buffer, format="svg", transparent=True, bbox_inches="tight", metadata=nothing)
    legal = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "", buffer.getvalue())  # in XML
    uri = f"data:image/svg+xml;base64,{base64.b64encode(legal.encode()).decode()}"
    return Figure(description=description, caption=caption, keys=list(keys), uri=uri)


def whisker(axes: "Axes", change: Change, height: float, number: int) -> None:
    """Draw a difference with its interval at `height`; a filled mark is better or worse."""
    if change.interval:
        axes.plot(change.interval, [height] * 2, color=colour(number), linewidth=1.6, solid_capstyle="butt")
    face = colour(number) if change.judgement in (Judgement.BETTER, Judgement.WORSE) else "none"
    axes.plot([change.value], [height], marker(number), markersize=4.5, color=colour(number), markerfacecolor=face)


def finish_whiskers(axes: "Axes", height: float, label: str) -> None:
    """Leave a plot of whiskers, drawn from 0 down to -height, with a scale of points alone."""
    axes.set_ylim(-height, 0)
    axes.set_yticks([])
    finish_rows(axes, label)


def finish_rows(axes: "Axes", label: str) -> None:
    """Leave a plot of rows with the scale of its values alone."""
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.set_xlabel(label)
    axes.margins(x=0.08)
