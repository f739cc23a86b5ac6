"""Turning a matplotlib figure into a picture of the page: SVG in a data URI, which no style of the page reaches.

It is drawn in the page's light colours; the page turns it over for a dark ground.
"""

import base64
import io
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

INK, FAINT, PAPER = "#1a1f24", "#c4cbd3", "#ffffff"
SERIES = ("#59636e", "#0062a3", "#c2410c", "#087443", "#86329a", "#8f6400")  # the baseline's, and five to repeat
# with five colours beside the baseline's: no two of thirty look alike
DASHES = ("solid", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 3)))
MARKERS = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼", "P": "✚"}  # matplotlib's, and in a legend

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
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
    """Return the colour of the column or curve `number`; the first is the baseline's alone."""
    return SERIES[1 + (number - 1) % (len(SERIES) - 1)] if number else SERIES[0]


def dashes(number: int) -> str | tuple[float, tuple[float, ...]]:
    """Return the line of the column or curve `number`, as matplotlib draws it."""
    return DASHES[number % len(DASHES)]


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
    marker = list(MARKERS)[number % len(MARKERS)]
    axes.plot([change.value], [height], marker, markersize=4.5, color=colour(number), markerfacecolor=face)


def finish_whiskers(axes: "Axes", height: float, label: str) -> None:
    """Leave a plot of whiskers, drawn from 0 down to -height, with a scale of points alone."""
    axes.set_ylim(-height, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.set_xlabel(label)
    axes.margins(x=0.08)
