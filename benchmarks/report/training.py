"""Reading `metrics.jsonl`, the line of numbers that a training run writes every few steps."""

from collections.abc import Sequence
from pathlib import Path

from diva.run_folder import MetricsLine, read_metrics
from diva_benchmarks.report.content import Panel, Series, Training

POINTS = 400  # a curve on a page shows no more
DIAGNOSED = ("loss_right", "loss_shuffled", "loss_empty")  # on the fixed grid of images, by condition
PANELS = {"loss": "Loss", "grad_norm": "Gradient norm before clipping", "lr": "Learning rate"}


def read_training(path: Path) -> Training:
    """Read a run's `metrics.jsonl`; the run is called after its folder.

    Loss, gradient norms and learning rate have a panel each, and so has every further number that a line holds,
    those of one prefix ("probe/colour") together. Of a long run evenly spaced lines are kept.

    Raises:
        InputError: the file cannot be read, holds no line, or one that is not of this kind.
    """
    lines = read_metrics(path)
    speeds = [line.images_per_second for line in lines if line.images_per_second is not None]
    first_steps: dict[str, int] = {}
    for line in lines:
        first_steps.setdefault(line.stage, line.step)
    return Training(
        name=path.absolute().parent.name,
        path=str(path),
        steps=lines[-1].step,
        images=lines[-1].images,
        images_per_second=sum(speeds) / len(speeds) if speeds else None,
        memory_gib=max((line.memory_gib for line in lines if line.memory_gib is not None), default=None),
        stages=first_steps,
        panels=_panels([lines[round(index)] for index in _evenly(len(lines))]),
    )


def _evenly(count: int) -> Sequence[float]:
    if count <= POINTS:
        return range(count)
    return [index * (count - 1) / (POINTS - 1) for index in range(POINTS)]


def _panels(lines: Sequence[MetricsLine]) -> list[Panel]:
    panels: dict[str, list[Series]] = {title: [] for title in PANELS.values()}
    for key in dict.fromkeys(key for line in lines for key in line.curves):
        points = [(line.step, line.curves[key]) for line in lines if key in line.curves]
        series = Series(name=key, steps=[step for step, _ in points], values=[value for _, value in points])
        panels.setdefault(_panel(key), []).append(series)
    return [Panel(title=title, series=series) for title, series in panels.items() if series]


def _panel(key: str) -> str:
    if key in DIAGNOSED:
        return "Loss on the fixed images, by condition"
    for start, title in PANELS.items():
        if key == start or key.startswith(f"{start}_"):
            return title
    return key.split("/")[0].replace("_", " ").capitalize()
