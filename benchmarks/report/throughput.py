"""Throughput: a line for each case that was timed, against the published schedule in the same process."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from diva.results import Result
from diva_benchmarks.report.content import Speed

THROUGHPUT = "throughput"
IMAGES = "images/s"


def is_throughput(result: Result) -> bool:
    """Whether `result` is of `diva bench throughput`: a case of training, and no property of a tower."""
    return result.benchmark == THROUGHPUT


def throughput(results: Iterable[tuple[Path, Result]]) -> list[Speed]:
    """Return a line for each result of `diva bench throughput`, each followed by its baseline where that is new."""
    speeds = [(path, result) for path, result in results if is_throughput(result)]
    timed = (each for path, result in speeds for each in _with_baseline(path, result))
    lines = {(each.case, each.tower, each.images_per_second): each for each in timed}
    return sorted(lines.values(), key=lambda line: (line.tower, line.images_per_second))


def _with_baseline(path: Path, result: Result) -> Iterator[Speed]:
    yield _line(path, result)
    if result.baseline:
        yield _line(path, result.baseline)


def _line(path: Path, result: Result) -> Speed:
    value = {name: metric.value for name, metric in result.metrics.items()}
    return Speed(
        case=result.protocol,
        tower=result.subject.label,
        device=result.run.device,
        images_per_second=value[IMAGES],
        interval=result.metrics[IMAGES].interval,
        times_baseline=value[IMAGES] / result.baseline.metrics[IMAGES].value if result.baseline else None,
        flops_per_second=value["TFLOP/s"],
        share_of_peak=100 * value["share of peak"],
        memory=value["memory"],
        path=str(path),
    )
