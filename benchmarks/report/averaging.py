"""Averaging a trained tower with its base: what it keeps and what it gives up, by every measure of the summary."""

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure as Plot

from diva.evaluation.drawing import colour, dashes, drawn, house_style, marker, shade
from diva.evaluation.measures import Tower
from diva.evaluation.multiples import row_names
from diva.evaluation.section import (
    Beside,
    Block,
    Figure,
    Heading,
    Inline,
    Key,
    Paragraph,
    Row,
    Section,
    plain_table,
    words,
)

INTRODUCTION = (
    "An average of the trained tower with its base (WiSE-FT, arXiv 2109.01903) gives up some of the gain for some"
    " of the loss. The share is the trained tower's: 0 is the base, 1 the tower that training left."
)


def averaging(towers: Sequence[Tower], summary: Sequence[Row]) -> list[Section]:
    """Return a curve over the shares for each recipe of which averages were measured.

    The baseline stands for the base where no recipe has trained it.
    """
    blocks: list[Block] = []
    for recipe in dict.fromkeys(tower.recipe for tower in towers if tower.share is not None):
        points = sorted(_points(recipe, towers, summary))
        if any(0 < share < 1 for share, _ in points):
            blocks += [Heading(text=recipe or "unknown recipe"), _curve(points, towers, summary)]
    if not blocks:
        return []
    blocks.insert(0, Paragraph(content=words(INTRODUCTION)))
    return [Section(id="trade-off", title="Averaging the trained tower with its base", blocks=blocks)]


def _points(recipe: str | None, towers: Sequence[Tower], summary: Sequence[Row]) -> Iterator[tuple[float, int]]:
    """Yield share and column of each tower that was measured, in any way."""
    for column, tower in enumerate(towers):
        share = _share(tower, recipe)
        if share is not None and any(row.number(column) for row in summary):
            yield share, column


def _share(tower: Tower, recipe: str | None) -> float | None:
    """Return the share of the weights that `recipe` trained; None for a tower that has nothing to do with it."""
    if tower.role == "baseline" and tower.recipe is None and tower.share is None:
        return 0.0
    if tower.recipe != recipe:
        return None
    return 1.0 if tower.share is None and recipe is not None else tower.share


def _curve(points: Sequence[tuple[float, int]], towers: Sequence[Tower], summary: Sequence[Row]) -> Beside:
    """Return a row for each share and a column for each measure that two of the towers at least have."""
    columns = [column for _, column in points]
    measures = [row for row in summary if sum(bool(row.number(column)) for column in columns) > 1]
    rows = []
    for share, column in points:
        cells: list[list[Inline]] = [[number] if (number := row.number(column)) else [] for row in measures]
        rows.append(Row(name=f"{share:g}", note=towers[column].label, cells=cells))
    return Beside(table=plain_table(["Share", *row_names(measures)], rows), figures=[_drawing(points, measures)])


def _drawing(points: Sequence[tuple[float, int]], measures: Sequence[Row]) -> Figure:
    """Draw the percentages over the share."""
    with house_style():
        plot = Plot(figsize=(3.6, 2.9))
        axes = plot.add_subplot()
        keys = []
        for number, row in enumerate(measures):
            known = [(share, each, column) for share, column in points if (each := row.number(column))]
            shown = [(share, each.value, column) for share, each, column in known if each.unit == "percent"]
            if shown:
                across, up, columns = zip(*shown, strict=True)
                axes.plot(across, up, color=shade(number), linestyle=dashes(number), linewidth=1.4)
                for share, value, column in zip(across, up, columns, strict=True):
                    axes.plot([share], [value], marker(column), color=colour(column), markersize=5)
                keys.append(Key(text=row.name, colour=shade(number), dashes=number))
        axes.set_xlabel("share of the trained tower")
        axes.set_ylabel("%")
        axes.grid()
        axes.set_axisbelow(True)
        axes.margins(0.08)
        return drawn(plot, "What each average of the trained tower with its base scores", keys=keys)
