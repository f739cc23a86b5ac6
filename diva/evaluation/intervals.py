"""The plot of differences from the baseline."""

from collections import Counter
from collections.abc import Sequence

from diva.evaluation.drawing import INK, PAPER, drawn, finish_whiskers, house_style, whisker
from diva.evaluation.section import Figure, Key, Row

CAPTION = (
    "Difference from the baseline in points, with its 95 % interval. A filled dot: better or worse; an open one:"
    " cannot be told from no change, or not tested."
)


def intervals(rows: Sequence[Row], keys: Sequence[Key]) -> list[Figure]:
    """Draw every difference in points about the line of no change; nothing where there is none."""
    every = [(row, [(column, row.change(column)) for column in range(len(row.cells))]) for row in rows]
    shown = [
        (row, [(column, each) for column, each in changes if each and each.unit == "percent"])
        for row, changes in every
    ]
    shown = [(row, changes) for row, changes in shown if changes]
    if not shown:
        return []
    from matplotlib.figure import Figure as Plot

    names = Counter(row.name for row, _ in shown)
    heights = [0.24 + 0.14 * len(changes) for _, changes in shown]
    with house_style():
        plot = Plot(figsize=(3.8, sum(heights) + 0.5))
        axes = plot.add_subplot()
        axes.axvline(0, color=INK, linewidth=0.8)
        top = 0.0
        for (row, changes), height in zip(shown, heights, strict=True):
            name = f"{row.name}, {row.note}" if names[row.name] > 1 else row.name
            box = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.8}  # so that no line strikes the name through
            axes.text(0, -top - 0.11, name, transform=axes.get_yaxis_transform(), va="center", bbox=box)
            for place, (column, change) in enumerate(changes):
                whisker(axes, change, -top - 0.28 - 0.14 * place, column)
            top += height
        finish_whiskers(axes, top, "points lower than the baseline ← 0 → points higher")
        return [drawn(plot, "Differences from the baseline with their 95 % intervals", caption=CAPTION, keys=keys)]
