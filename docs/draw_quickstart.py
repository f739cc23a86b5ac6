"""Draws docs/quickstart.svg from the table in docs/miniworld.md: `python docs/draw_quickstart.py`."""

import io
import re
from pathlib import Path
from typing import NamedTuple

from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

FIGURE = Path(__file__).with_name("quickstart.svg")
TABLE = Path(__file__).with_name("miniworld.md")
SIZE = (8.6, 2.1)  # inches
INK, BETTER, WORSE, UNDECIDED = "#222222", "#0072b2", "#b5371f", "#888888"
CELL = re.compile(r"([+−]\d+\.\d) \[([+−]\d+\.\d), ([+−]\d+\.\d)\]")


class Difference(NamedTuple):
    """Points to the original, with the 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def colour(self) -> str:
        return BETTER if self.low > 0 else WORSE if self.high < 0 else UNDECIDED


def read_rows() -> dict[str, list[Difference]]:
    """Return what the table says of each tower: the differences of pairs and of zero-shot accuracy."""
    section = TABLE.read_text(encoding="utf-8").partition("## One quickstart")[2]
    rows = {}
    for line in section.splitlines():
        if line.startswith("|") and (cells := CELL.findall(line)):
            name = line.split("|")[1].strip()
            rows[name] = [Difference(*(float(n.replace("−", "-")) for n in cell)) for cell in cells]
    return rows


def render() -> bytes:
    """Return the figure as SVG, the same bytes every time."""
    with rc_context():
        rcdefaults()
        rcParams.update({"svg.hashsalt": "diva", "font.size": 9, "text.color": INK, "axes.edgecolor": "#bbbbbb"})
        figure = Figure(SIZE, layout="constrained", facecolor="white")
        rows = read_rows()
        panels = figure.subplots(1, 2, sharey=True)
        for place, (panel, title) in enumerate(zip(panels, ("pairs", "zero-shot accuracy"), strict=True)):
            _draw(panel, f"{title}: points against the original", {name: row[place] for name, row in rows.items()})
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
        return content.getvalue()


def _draw(panel: Axes, title: str, rows: dict[str, Difference]) -> None:
    panel.set_title(title, loc="left", fontsize=9)
    panel.axvline(0, color="#bbbbbb", linewidth=1)
    for place, row in enumerate(rows.values()):
        panel.plot([row.low, row.high], [place, place], color=row.colour, linewidth=2, solid_capstyle="round")
        panel.plot(row.value, place, "o", color=row.colour)
        label = f"{row.value:+.1f}".replace("-", "−")
        panel.annotate(label, (row.value, place), (0, 5), textcoords="offset points", ha="center", fontsize=8)
    panel.set_yticks(range(len(rows)), rows)
    panel.set_ylim(len(rows) - 0.5, -0.7)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(axis="y", length=0)
    panel.margins(x=0.08)


if __name__ == "__main__":
    FIGURE.write_bytes(render())
