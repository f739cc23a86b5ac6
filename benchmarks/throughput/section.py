"""What the report says of throughput: a line for each case, against the published schedule in the same process."""

from collections.abc import Iterator

from diva.evaluation.measures import Measured
from diva.evaluation.section import Inline, Number, Paragraph, Row, Section, plain_table, words
from diva.results import Result

HEAD = ["Case", "images/s", "× published schedule", "TFLOP/s", "share of peak", "memory"]
INTRODUCTION = (
    "Images per second in training. The share of peak is relative to a large matrix product in the same process."
)


def throughput(measured: Measured) -> Section:
    """Return a line for each result, each followed by its baseline where that is new, from slow to fast."""
    results = [result for measure in measured.measures for result in measure.results]
    timed = (each for result in results for each in _with_baseline(result))
    lines = {(each.protocol, each.subject.label, each.metrics["images/s"].value): each for each in timed}
    ordered = sorted(lines.values(), key=lambda each: (each.subject.label, each.metrics["images/s"].value))
    return Section(
        id="throughput",
        title="Throughput",
        blocks=[
            Paragraph(content=words(INTRODUCTION), style="soft"),
            plain_table(HEAD, [_row(result) for result in ordered]),
        ],
    )


def _with_baseline(result: Result) -> Iterator[Result]:
    yield result
    if result.baseline:
        yield result.baseline


def _row(result: Result) -> Row:
    def figure(name: str) -> list[Inline]:
        metric = result.metrics[name]
        return [Number(value=metric.value, unit=metric.unit, interval=metric.interval)]

    times: list[Inline] = []
    if result.baseline:
        ratio = result.metrics["images/s"].value / result.baseline.metrics["images/s"].value
        times = [Number(value=ratio, unit="score")]
    share = Number(value=100 * result.metrics["share of peak"].value, unit="percent")
    return Row(
        name=result.subject.label,
        note=f"{result.protocol} · {result.run.device}",
        cells=[figure("images/s"), times, figure("TFLOP/s"), [share], figure("memory")],
    )
