"""Draws docs/flow.svg, the flow of one feedback step: `python docs/draw_flow.py`."""

import io
from pathlib import Path
from typing import NamedTuple

from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

FIGURE = Path(__file__).with_name("flow.svg")
SIZE = (11.9, 4.3)  # inches; every length below is in inches too
INK, GRADIENT = "#222222", "#b5371f"
DATA, FROZEN, TRAINED = "#ffffff", "#dbe6f2", "#fde0bd"
TOP, MIDDLE, BOTTOM = 2.55, 1.775, 1.0
BELOW = 0.24  # from an arrow to the gradient's, which runs back beneath it


class Box(NamedTuple):
    """A rounded box around its centre."""

    x: float
    y: float
    colour: str
    text: str
    width: float = 1.75
    height: float = 0.8


class Arrow(NamedTuple):
    """A horizontal arrow from one box to the next, at the height `y`."""

    start: str
    end: str
    y: float
    text: str = ""
    gradient: bool = False


BOXES = {
    "image": Box(1.05, TOP, DATA, "image\n512 px, RGB in 0..1"),
    "tower": Box(3.35, TOP, TRAINED, "tower\nits own size, mean, std"),
    "condition": Box(6.35, TOP, TRAINED, "condition\nchoose tokens,\nproject, add text"),
    "text": Box(6.35, 3.75, FROZEN, "text encoder\nthe prompt, once a run"),
    "vae": Box(1.05, BOTTOM, FROZEN, "VAE encoder\nmean × scale"),
    "noise": Box(3.35, BOTTOM, DATA, "add noise\n$\\sqrt{\\bar{α}_t}\\,x_0+\\sqrt{1-\\bar{α}_t}\\,ε$"),
    "unet": Box(8.65, MIDDLE, FROZEN, "UNet", width=0.9, height=TOP - BOTTOM + 0.8),
    "objective": Box(10.85, MIDDLE, DATA, "objective\nmean of $(\\hat{ε}-ε)^2$"),
}
ARROWS = (
    Arrow("image", "tower", TOP),
    Arrow("tower", "condition", TOP, "pooled [B, D]\npatches [B, N, D]"),
    Arrow("condition", "unet", TOP, "context\n[S·B, M, C]"),
    Arrow("vae", "noise", BOTTOM, "$x_0$"),
    Arrow("noise", "unet", BOTTOM, "$x_t$  [S·B, 4, 64, 64]"),
    Arrow("unet", "objective", MIDDLE, "$\\hat{ε}$"),
    # through the frozen UNet, never into it
    Arrow("objective", "unet", MIDDLE - BELOW, gradient=True),
    Arrow("unet", "condition", TOP - BELOW, gradient=True),
    Arrow("condition", "tower", TOP - BELOW, gradient=True),
)


def draw() -> Figure:
    """Draw one feedback step on an opaque white ground, so that it reads in light and dark themes."""
    figure = Figure(figsize=SIZE, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, SIZE[0]), ylim=(0, SIZE[1]))
    axes.set_axis_off()
    for box in BOXES.values():
        _box(axes, box)
    for arrow in ARROWS:
        _arrow(axes, arrow)
    image, vae, text, condition = (BOXES[name] for name in ("image", "vae", "text", "condition"))
    _line(axes, (image.x, image.y - image.height / 2), (vae.x, vae.y + vae.height / 2))
    _line(axes, (text.x, text.y - text.height / 2), (condition.x, condition.y + condition.height / 2))
    axes.text(text.x + 0.1, (text.y + condition.y) / 2, "[1, L, C]", ha="left", va="center", fontsize=8, color=INK)
    _legend(axes)
    return figure


def render() -> bytes:
    """Return the figure as SVG; the same bytes on every run of one matplotlib version."""
    target = io.BytesIO()
    with rc_context():
        rcdefaults()  # whatever the user's matplotlibrc says
        rcParams.update({"svg.hashsalt": "diva", "svg.fonttype": "path"})
        draw().savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    return target.getvalue()


def _box(axes: Axes, box: Box) -> None:
    corner = (box.x - box.width / 2, box.y - box.height / 2)
    style = "round,pad=0,rounding_size=0.07"
    axes.add_patch(
        FancyBboxPatch(corner, box.width, box.height, boxstyle=style, facecolor=box.colour, edgecolor=INK, lw=1)
    )
    axes.text(box.x, box.y, box.text, ha="center", va="center", fontsize=9, color=INK)


def _arrow(axes: Axes, arrow: Arrow) -> None:
    start, end = BOXES[arrow.start], BOXES[arrow.end]
    right = 1 if end.x > start.x else -1
    x0, x1 = start.x + right * start.width / 2, end.x - right * end.width / 2
    _line(axes, (x0, arrow.y), (x1, arrow.y), gradient=arrow.gradient)
    axes.text((x0 + x1) / 2, arrow.y + 0.07, arrow.text, ha="center", va="bottom", fontsize=8, color=INK)


def _line(axes: Axes, start: tuple[float, float], end: tuple[float, float], *, gradient: bool = False) -> None:
    colour, style = (GRADIENT, "--") if gradient else (INK, "-")
    line = {"arrowstyle": "-|>", "color": colour, "ls": style, "lw": 1.2, "shrinkA": 1, "shrinkB": 1}
    axes.annotate("", end, start, arrowprops=line)


def _legend(axes: Axes) -> None:
    y = 0.25
    entries = ((0.35, TRAINED, "trained"), (1.65, FROZEN, "frozen"), (2.9, DATA, "data and arithmetic"))
    for x, colour, text in entries:
        _box(axes, Box(x, y, colour, "", width=0.36, height=0.2))
        axes.text(x + 0.26, y, text, ha="left", va="center", fontsize=9, color=INK)
    _line(axes, (5.65, y), (5.05, y), gradient=True)
    axes.text(5.75, y, "gradient", ha="left", va="center", fontsize=9, color=INK)
    axes.text(7.3, y, "B images, S noise samples of each", ha="left", va="center", fontsize=9, color=INK)


if __name__ == "__main__":
    FIGURE.write_bytes(render())
