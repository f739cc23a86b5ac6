"""Reading `metrics.jsonl`, the line of numbers that a training run writes every few steps."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure as Plot

from diva.documents import read_yaml
from diva.errors import InputError
from diva.evaluation.drawing import INK, dashes, drawn, house_style, logarithmic, shade
from diva.evaluation.section import (
    Block,
    Details,
    Figure,
    Heading,
    Inline,
    Key,
    Number,
    Panels,
    Paragraph,
    Row,
    Section,
    Words,
    plain_table,
    words,
)
from diva.run_folder import RECIPE, MetricsLine, read_metrics

GIB = 2**30
POINTS = 400  # a curve on a page shows no more
DIAGNOSED = ("loss_right", "loss_shuffled", "loss_empty")  # on the fixed grid of images, by condition
PANELS = {"loss": "Loss", "grad_norm": "Gradient norm before clipping", "lr": "Learning rate"}
ERROR = "_error"  # of the curve whose name stands before it: its standard error
ERRORS = 2  # on both sides of a curve, in its band


Curve = list[tuple[int, float]]  # steps and values


class Cost(NamedTuple):
    """What a training run took, as far as its lines say: images seen, seconds, and the verdicts that it read."""

    images: int | None
    seconds: float | None
    verdicts: str | None = None


def read_training(path: Path) -> tuple[Section, Cost]:
    """Read a run's `metrics.jsonl`; the run is called after its folder.

    Raises:
        InputError: the file cannot be read, holds no line, or one that is not of this kind.
    """
    lines = read_metrics(path)
    first_steps: dict[str, int] = {}
    for line in lines:
        first_steps.setdefault(line.stage, line.step)
    panels, errors = panels_of(lines), errors_of(lines)
    blocks: list[Block] = [
        Heading(text=path.absolute().parent.name, note=str(path)),
        Paragraph(content=list(_said(lines)), style="soft"),
        Panels(figures=[_drawing(title, curves, errors, first_steps) for title, curves in panels.items()]),
    ]
    if later := list(first_steps)[1:]:
        blocks.append(Paragraph(content=words(f"A dotted line: {', '.join(later)} begins."), style="soft"))
    ends = [
        Row(name=name, cells=[words(f"{curve[0][1]:.4g}"), words(f"{curve[-1][1]:.4g}")])
        for curves in panels.values()
        for name, curve in curves.items()
    ]
    table = plain_table(["Curve", "first", "last"], ends, wide=True)
    blocks.append(Details(summary="First and last values", blocks=[table]))
    cost = _cost(lines)._replace(verdicts=_verdicts(path.with_name(RECIPE)))
    return Section(id="training", title="Training", blocks=blocks), cost


def _speeds(lines: Sequence[MetricsLine]) -> list[float]:
    return [line.images_per_second for line in lines if line.images_per_second is not None]


def _cost(lines: Sequence[MetricsLine]) -> Cost:
    images, speeds = lines[-1].images, [speed for speed in _speeds(lines) if speed > 0]
    # lines are as many images apart, so it is the mean time of an image that counts
    per_image = sum(1 / speed for speed in speeds) / len(speeds) if speeds else None
    return Cost(images, images * per_image if images and per_image else None)


def _verdicts(recipe: Path) -> str | None:
    """Return the folder of the judge's verdicts that a run read, if it read any."""
    try:
        fields = read_yaml(recipe)
    except InputError:
        return None  # the report names it where it shows the recipe
    data = fields.get("data") if isinstance(fields, dict) else None
    found = data.get("verdicts") if isinstance(data, dict) else None
    return found if isinstance(found, str) else None


def _said(lines: Sequence[MetricsLine]) -> Iterator[Inline]:
    last, speeds = lines[-1], _speeds(lines)
    images = "" if last.images is None else f", {last.images:,} images"
    yield Words(text=f"{last.step} steps{images}")
    if speeds:
        yield Words(text=" at ")
        yield Number(value=sum(speeds) / len(speeds), unit="images/s")
    memory = [line.memory_gib for line in lines if line.memory_gib is not None]
    if memory:
        yield Words(text=", with ")
        yield Number(value=max(memory) * GIB, unit="bytes")


def _evenly(count: int) -> Sequence[float]:
    if count <= POINTS:
        return range(count)
    return [index * (count - 1) / (POINTS - 1) for index in range(POINTS)]


def panels_of(lines: Sequence[MetricsLine]) -> dict[str, dict[str, Curve]]:
    """Return the curves of each panel, step and value at a time.

    Loss, gradient norms and learning rate have a panel each, and so has every further number that a line holds,
    those of one prefix ("probe/colour") together. Standard errors have none. Of a long run evenly spaced lines are
    kept.
    """
    kept = [lines[round(index)] for index in _evenly(len(lines))]
    panels: dict[str, dict[str, Curve]] = {title: {} for title in PANELS.values()}
    names = dict.fromkeys(name for line in kept for name in line.curves)
    for name in names:
        if not (name.endswith(ERROR) and name.removesuffix(ERROR) in names):
            curve = [(line.step, line.curves[name]) for line in kept if name in line.curves]
            panels.setdefault(_panel(name), {})[name] = curve
    return {title: curves for title, curves in panels.items() if curves}


def errors_of(lines: Sequence[MetricsLine]) -> dict[str, dict[int, float]]:
    """Return the standard errors of each curve that has them, by step."""
    names = dict.fromkeys(name for line in lines for name in line.curves)
    return {
        name: {line.step: line.curves[name + ERROR] for line in lines if name + ERROR in line.curves}
        for name in names
        if name + ERROR in names
    }


def _drawing(
    title: str, curves: dict[str, Curve], errors: dict[str, dict[int, float]], stages: dict[str, int]
) -> Figure:
    """Draw the curves over the steps, with a line where a further stage begins."""
    values = [value for curve in curves.values() for _, value in curve]
    caption = title
    with house_style():
        plot = Plot(figsize=(3.4, 2.1))
        axes = plot.add_subplot()
        if min(values) > 0 and max(values) > 50 * min(values):
            logarithmic(axes)
        for number, (name, curve) in enumerate(curves.items()):
            # the first, the whole of which the others are parts, lies on top
            axes.plot(
                *zip(*curve, strict=True),
                color=shade(number),
                linestyle=dashes(number),
                linewidth=1.1,
                marker="." if len(curve) < 20 else "none",
                zorder=3 - number / len(curves),
            )
            if band := [(step, value, errors[name][step]) for step, value in curve if step in errors.get(name, {})]:
                steps, middle, error = zip(*band, strict=True)
                low, high = (
                    [value + sign * ERRORS * each for value, each in zip(middle, error, strict=True)]
                    for sign in (-1, 1)
                )
                axes.fill_between(steps, low, high, color=shade(number), alpha=0.2, linewidth=0)
                caption = f"{title}, with a band of {ERRORS} standard errors on both sides"
        for step in list(stages.values())[1:]:
            axes.axvline(step, color=INK, linewidth=0.7, linestyle=(0, (1, 2)))
        axes.set_xlabel("step")
        axes.grid(axis="y")
        axes.margins(x=0)
        keys = [Key(text=name, colour=shade(number), dashes=number) for number, name in enumerate(curves)]
        described = f"{title} over the steps of training"
        return drawn(plot, described, caption=caption, keys=keys if len(keys) > 1 else [])


def _panel(key: str) -> str:
    if key in DIAGNOSED:
        return "Loss on the fixed images, by condition"
    for start, title in PANELS.items():
        if key == start or key.startswith(f"{start}_"):
            return title
    return key.split("/")[0].replace("_", " ").capitalize()
