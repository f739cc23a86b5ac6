"""The chart of the first screen: what each tower gains in one measure against what it gains in another."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Plot

from diva.evaluation.drawing import FAINT, colour, drawn, house_style, marker
from diva.evaluation.measures import Measured
from diva.evaluation.multiples import difference_panels, points, row_names
from diva.evaluation.section import Change, Figure, Row

CAPTION = (
    "Points against the baseline, with 95 % intervals; colours and marks as in the table. Better towers are further"
    " up and further right."
)


def chart(rows: Sequence[Row], measured: Measured) -> Figure | None:
    """Draw the two measures that most towers have against each other, else the differences of the only tower.

    Args:
        rows: of the summary, a cell for each tower.
    """
    towers = range(len(measured.towers))
    known = {
        number: [column for column in towers if points(row, column)]
        for number, row in enumerate(rows)
        if row.higher_is_better
    }
    across, up = [*sorted(known, key=lambda number: -len(known[number])), -1, -1][:2]
    both = set(known.get(across, ())) & set(known.get(up, ()))
    if len(both) > 1:
        names = row_names(rows)
        with house_style():
            plot = Plot(figsize=(3.3, 2.5))
            axes = plot.add_subplot()
            for draw_line in (axes.axvline, axes.axhline):
                draw_line(0, color=FAINT, linewidth=0.8)
            axes.plot([0], [0], marker(0), color=colour(0), markersize=7)
            for column in sorted(both):
                _cross(axes, points(rows[across], column), points(rows[up], column), column)
            axes.set_xlabel(names[across])
            axes.set_ylabel(names[up])
            described = f"{names[up]} against {names[across]}, in points from the baseline, for each tower"
            return drawn(plot, described, caption=CAPTION)
    return next(iter(difference_panels(rows, measured)), None)


def _cross(axes: Axes, across: Change | None, up: Change | None, column: int) -> None:
    """Draw a tower's mark with both intervals."""
    assert across
    assert up
    if across.interval:
        axes.plot(across.interval, [up.value] * 2, color=colour(column), linewidth=1.2)
    if up.interval:
        axes.plot([across.value] * 2, up.interval, color=colour(column), linewidth=1.2)
    axes.plot([across.value], [up.value], marker(column), color=colour(column), markersize=7)
