"""The report's plots: MMVP-VLM by pattern, differences with their intervals, methods compared, training curves."""

import math
import textwrap
from collections import Counter
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from diva_benchmarks.report.content import Difference, Panel, Patterns, Row, StudyGroup, TradeOff
from diva_benchmarks.report.drawing import DASHES, INK, MARKERS, PAPER, SERIES, house_style, series, to_svg


def radar(patterns: Patterns) -> str:
    """Draw a spoke for each pattern, a line for each tower and a circle at the chance level."""
    spokes = patterns.rows[:-1]
    angles = [2 * math.pi * index / len(spokes) for index in range(len(spokes))]
    with house_style():
        figure = Figure(figsize=(3.4, 3.4))
        axes = figure.add_subplot(projection="polar")
        assert isinstance(axes, PolarAxes)
        axes.set_theta_zero_location("N")
        axes.set_theta_direction(-1)
        highest = max(cell.value for row in spokes for cell in row.cells if cell)
        rim = min(100, max(50, 25 * math.ceil(highest / 25 + 0.2)))
        axes.set_ylim(0, rim)
        axes.set_yticks(range(25, rim + 1, 25), [*map(str, range(25, rim, 25)), f"{rim} %"], fontsize=7)
        axes.set_rlabel_position(math.degrees(math.pi / len(spokes)))
        axes.set_xticks(angles, [""] * len(angles))
        axes.spines["polar"].set_visible(False)
        for angle, row in zip(angles, spokes, strict=True):
            side = round(math.sin(angle), 6)
            across = "center" if side == 0 else "left" if side > 0 else "right"
            up = "bottom" if math.cos(angle) > 0.5 else "top" if math.cos(angle) < -0.5 else "center"
            label = textwrap.fill(row.name, 14, break_long_words=False)
            axes.text(angle, 1.06 * rim, label, ha=across, va=up, fontsize=8)
        circle = [2 * math.pi * index / 90 for index in range(91)]
        axes.plot(circle, [patterns.chance] * len(circle), color=INK, linewidth=0.9, linestyle=(0, (1, 2)))
        for column in range(len(spokes[0].cells)):
            points = [
                (angle, cell.value)
                for angle, row in zip(angles, spokes, strict=True)
                if (cell := row.cells[column])
            ]
            if points:
                around, values = zip(*[*points, points[0]], strict=True)
                axes.plot(around, values, color=_colour(column), linestyle=_dash(column), linewidth=1.6)
                axes.fill(around, values, color=_colour(column), alpha=0.1)
        return to_svg(figure, "Share of MMVP-VLM pairs right, by visual pattern and tower")


def intervals(rows: Sequence[Row]) -> str | None:
    """Draw every difference in points with its interval about the line of no change; None where there is none."""
    shown = [
        (row, [(column, cell.difference) for column, cell in enumerate(row.cells) if cell and cell.difference])
        for row in rows
        if row.unit == "percent"
    ]
    shown = [(row, differences) for row, differences in shown if differences]
    if not shown:
        return None
    names = Counter(row.name for row, _ in shown)
    heights = [0.24 + 0.14 * len(differences) for _, differences in shown]
    with house_style():
        figure = Figure(figsize=(3.8, sum(heights) + 0.5))
        axes = figure.add_subplot()
        axes.axvline(0, color=INK, linewidth=0.8)
        top = 0.0
        for (row, differences), height in zip(shown, heights, strict=True):
            name = f"{row.name}, {row.note}" if names[row.name] > 1 else row.name
            box = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.8}  # so that no line strikes the name through
            axes.text(0, -top - 0.11, name, transform=axes.get_yaxis_transform(), va="center", bbox=box)
            for place, (column, difference) in enumerate(differences):
                _whisker(axes, difference, -top - 0.28 - 0.14 * place, column)
            top += height
        _finish_whiskers(axes, top, "points lower than the baseline ← 0 → points higher")
        return to_svg(figure, "Differences from the baseline with their 95 % intervals")


def forest(groups: Sequence[StudyGroup], measure: str) -> str:
    """Draw one measure of every line of a study with its interval, under the name of its method or group."""
    labels = [
        (textwrap.fill(name, 22, break_long_words=False), difference)
        for group in groups
        for name, difference in (
            (group.title, None),
            *((line.name, getattr(line, measure)) for line in group.lines),
        )
    ]
    heights = [0.09 + 0.12 * (1 + name.count("\n")) for name, _ in labels]
    with house_style():
        figure = Figure(figsize=(2.6, sum(heights) + 0.5))
        axes = figure.add_subplot()
        axes.axvline(0, color=INK, linewidth=0.8)
        top = 0.0
        for (name, difference), height in zip(labels, heights, strict=True):
            middle, weight = -top - height / 2, "normal" if difference else "bold"
            place = axes.get_yaxis_transform()
            axes.text(-0.04, middle, name, transform=place, ha="right", va="center", fontsize=8, weight=weight)
            if difference:
                _whisker(axes, difference, middle, 1)
            top += height
        _finish_whiskers(axes, top, "points against the untrained tower")
        return to_svg(figure, f"Change in {measure.replace('_', ' ')} by method, with 95 % intervals")


def _finish_whiskers(axes: Axes, height: float, label: str) -> None:
    """Leave a plot of whiskers, drawn from 0 down to -height, with a scale of points alone."""
    axes.set_ylim(-height, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.set_xlabel(label)
    axes.margins(x=0.08)


def curves(panel: Panel, stages: dict[str, int]) -> str:
    """Draw a panel's series over the steps, with a line where a further stage begins."""
    values = [value for one in panel.series for value in one.values]
    wide = min(values) > 0 and max(values) > 50 * min(values)
    with house_style():
        figure = Figure(figsize=(3.4, 2.1))
        axes = figure.add_subplot()
        if wide:
            axes.set_yscale("log")
        for number, one in enumerate(panel.series):
            marker = "." if len(one.steps) == 1 else "none"
            # the first, the whole of which the others are parts, lies on top
            axes.plot(
                one.steps,
                one.values,
                color=_colour(number + 1),
                linestyle=_dash(number),
                linewidth=1.1,
                alpha=0.5 if number else 1,
                marker=marker,
                zorder=3 - number / len(panel.series),
            )
        for step in list(stages.values())[1:]:
            axes.axvline(step, color=INK, linewidth=0.7, linestyle=(0, (1, 2)))
        axes.set_xlabel("step")
        axes.grid(axis="y")
        axes.margins(x=0)
        return to_svg(figure, f"{panel.title} over the steps of training")


def trade_off(curve: TradeOff) -> str:
    """Draw MMVP-VLM against the zero-shot mean along the averages, each point with its share."""
    across, up = ([getattr(point, axis).value for point in curve.points] for axis in ("zero_shot", "mmvp"))
    with house_style():
        figure = Figure(figsize=(3.6, 2.9))
        axes = figure.add_subplot()
        axes.plot(across, up, color=_colour(1), marker="o", markersize=4.5, linewidth=1.4)
        for point, x, y in zip(curve.points, across, up, strict=True):
            axes.annotate(f"{point.share:g}", (x, y), (5, 4), textcoords="offset points", fontsize=8)
        axes.set_xlabel("zero-shot mean, %")
        axes.set_ylabel("MMVP-VLM, %")
        axes.grid()
        axes.set_axisbelow(True)
        axes.margins(0.15)
        return to_svg(figure, "MMVP-VLM against zero-shot for each average of the trained tower with its base")


def _whisker(axes: Axes, difference: Difference, height: float, column: int) -> None:
    if difference.interval:
        axes.plot(difference.interval, [height] * 2, color=_colour(column), linewidth=1.6, solid_capstyle="butt")
    filled = difference.judgement in ("better", "worse")
    face, marker = _colour(column) if filled else "none", list(MARKERS)[column % len(MARKERS)]
    axes.plot([difference.value], [height], marker, markersize=4.5, color=_colour(column), markerfacecolor=face)


def _colour(number: int) -> str:
    return SERIES[series(number)]


def _dash(number: int) -> str | tuple[float, tuple[float, ...]]:
    return DASHES[number % len(DASHES)]
