"""Turning a matplotlib figure into SVG that lives in a page: its colours, fonts and width are the page's.

A figure is drawn in stand-in colours, which become CSS variables; so one drawing suits light, dark and paper.
"""

import hashlib
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure

INK, FAINT, PAPER = "#000001", "#000002", "#000003"
SERIES = tuple(f"#0001{number:02x}" for number in range(6))
# with five colours beside the baseline's: no two of thirty look alike
DASHES = ("solid", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 3)))
MARKERS = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼", "P": "✚"}  # matplotlib's, and in a legend

_VARIABLES = {INK: "currentColor", FAINT: "var(--faint)", PAPER: "var(--paper)"} | {
    colour: f"var(--series-{number})" for number, colour in enumerate(SERIES)
}
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "font.size": 9,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "svg.fonttype": "none",  # text stays text: searchable, and in the page's font
    "svg.hashsalt": "diva",
    "text.color": INK,
    "text.parse_math": False,  # a label may hold any character, dollar signs too
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
}
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


def series(number: int) -> int:
    """Return which of `SERIES` draws the column or curve `number`; the first is the baseline's alone."""
    return 1 + (number - 1) % (len(SERIES) - 1) if number else 0


def dash(number: int) -> str:
    """Return the line of the column or curve `number` as SVG's stroke-dasharray, for a legend."""
    pattern = DASHES[number % len(DASHES)]
    return "none" if isinstance(pattern, str) else " ".join(f"{2 * length:g}" for length in pattern[1])


def mark(number: int) -> str:
    """Return the mark of the column `number`, for a legend."""
    return list(MARKERS.values())[number % len(MARKERS)]


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the stand-in colours within this context."""
    with matplotlib.rc_context(_STYLE):
        yield


def to_svg(figure: Figure, description: str) -> str:
    """Return `figure`, drawn in `house_style`, as an SVG element for a page; `description` is read out for it."""
    root = ElementTree.fromstring(_draw(figure))
    for size in ("width", "height"):
        del root.attrib[size]
    root.attrib |= {"role": "img", "aria-label": description}
    for parent in root.iter(f"{{{_SVG}}}defs"):
        for style in parent.findall(f"{{{_SVG}}}style"):
            parent.remove(style)  # it would style the whole page
    for text in root.iter(f"{{{_SVG}}}text"):
        text.set("style", re.sub(r"font-family: [^;]*;?", "", text.get("style", "")))
    _make_ids_unique(root)
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    return ElementTree.tostring(root, encoding="unicode")


def _draw(figure: Figure) -> str:
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with warnings.catch_warnings():
        # the text is set in the page's fonts: what matplotlib's own lack is no loss
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", transparent=True, bbox_inches="tight", metadata=nothing)
    legal = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "", buffer.getvalue())  # in XML
    return re.sub("|".join(_VARIABLES), _variable, legal)


def _variable(match: re.Match[str]) -> str:
    return _VARIABLES[match.group()]


def _make_ids_unique(root: ElementTree.Element) -> None:
    """Keep only the ids that the drawing refers to, with a prefix of its own: a page holds many drawings."""
    text = ElementTree.tostring(root, encoding="unicode")
    used = set(re.findall(r"#([\w-]+)", text))
    prefix = hashlib.sha256(text.encode()).hexdigest()[:8]
    for element in root.iter():
        if element.get("id") in used:
            element.set("id", f"{prefix}-{element.get('id')}")
        else:
            element.attrib.pop("id", None)
        for name, value in element.attrib.items():
            element.set(name, re.sub(r"(^|url\()#", rf"\1#{prefix}-", value))
