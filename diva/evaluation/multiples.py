"""Small multiples: a panel for each tower against the baseline, over the same rows and on the same scale."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from diva.evaluation.drawing import INK, colour, drawn, finish_rows, house_style, marker, tower_key, whisker
from diva.evaluation.measures import Measured
from diva.evaluation.section import Block, Change, Figure, Panels, Paragraph, Row, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DIFFERENCE = "points below the baseline ← 0 → above"
FILLED = "Bars are 95 % intervals. A filled mark is better or worse; an open one shows no clear change."

Draw = Callable[["Axes", Row, float, int], None]


def differences(rows: Sequence[Row], measured: Measured) -> list[Block]:
    """Draw each tower's differences in percentage points from the baseline; nothing where there are none."""
    return _blocks(difference_panels(rows, measured), FILLED)


def difference_panels(rows: Sequence[Row], measured: Measured) -> list[Figure]:
    """Return the panels of `differences`."""

    def draw(axes: "Axes", row: Row, height: float, column: int) -> None:
        if change := points(row, column):
            whisker(axes, change, height, column)

    shown = [row for row in rows if any(points(row, column) for column in range(len(row.cells)))]
    columns = [column for column in _others(measured) if any(points(row, column) for row in shown)]
    return list(_panels(shown, measured, columns, draw, DIFFERENCE, reference=0.0))


def levels(rows: Sequence[Row], measured: Measured, *, guessing: float) -> list[Block]:
    """Draw each tower's percentages beside the baseline's, joined by a line, and a dotted line at `guessing`."""
    based = measured.towers[0].role == "baseline"

    def draw(axes: "Axes", row: Row, height: float, column: int) -> None:
        found = [(each, number.value) for each in (0, column) if (number := row.number(each))]
        axes.plot([value for _, value in found], [height] * len(found), color=colour(column), linewidth=1.2)
        for each, value in found:
            axes.plot([value], [height], marker(each), markersize=5, color=colour(each))

    columns = [each for each in _others(measured) if sum(bool(row.number(each)) for row in rows) > 1]
    panels = list(_panels(rows, measured, columns if based else [], draw, "%", reference=guessing))
    return _blocks(panels, "The dotted line is guessing.")


def points(row: Row, column: int) -> Change | None:
    """Return the difference in percentage points that stands in a column."""
    change = row.change(column)
    return change if change and change.unit == "percent" else None


def row_names(rows: Sequence[Row]) -> list[str]:
    """Return the rows' names, with their notes where several share one."""
    names = Counter(row.name for row in rows)
    return [f"{row.name}, {row.note}" if names[row.name] > 1 and row.note else row.name for row in rows]


def _blocks(figures: list[Figure], caption: str) -> list[Block]:
    return [Panels(figures=figures), Paragraph(content=words(caption), style="soft")] if figures else []


def _others(measured: Measured) -> list[int]:
    return [column for column, tower in enumerate(measured.towers) if tower.role != "baseline"]


def _panels(
    rows: Sequence[Row],
    measured: Measured,
    columns: Sequence[int],
    draw: Draw,
    label: str,
    *,
    reference: float,
) -> Iterator[Figure]:
    from matplotlib.figure import Figure as Plot

    names = [fill(name, 34, break_long_words=False) for name in row_names(rows)]
    heights = [0.06 + 0.13 * (1 + name.count("\n")) for name in names]
    places = [-sum(heights[:number]) - height / 2 for number, height in enumerate(heights)]
    labels = [tower.label for tower in measured.towers]
    with house_style():
        plots = [Plot(figsize=(3.2, sum(heights) + 0.5)) for _ in columns]
        every = [plot.add_subplot() for plot in plots]
        for axes, column in zip(every, columns, strict=True):
            axes.axvline(reference, color=INK, linewidth=0.8, linestyle=":" if reference else "solid")
            for row, place in zip(rows, places, strict=True):
                draw(axes, row, place, column)
            axes.set_ylim(-sum(heights), 0)
            axes.set_yticks(places, names, fontsize=8)
            finish_rows(axes, label)
        limits = [limit for axes in every for limit in axes.get_xlim()]
        for axes, plot, column in zip(every, plots, columns, strict=True):
            axes.set_xlim(min(limits), max(limits))
            keys = [tower_key(each, labels[each]) for each in ((0, column) if reference else (column,))]
            yield drawn(plot, f"{labels[column]} against {labels[0]}", keys=keys)
