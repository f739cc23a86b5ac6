"""The growth of a run's cost with its data, as the result file has it."""

import hashlib

from benchmarks.throughput.growth import TIMES, WholeRun
from diva.results import DataSource, Item, Metric, Result, Run, Subject

GROWTH = "growth"
PARTS = 10


def growth_result(name: str, short: WholeRun, long: WholeRun, subject: Subject, source: str, run: Run) -> Result:
    """Return the result file's record of both runs of the recipe `name`; an item is a tenth of the long run."""
    metrics = {}
    for whole in (short, long):
        cost, images = whole.cost, whole.images - whole.batch
        for what, value in {"CPU seconds an image": cost.cpu, "seconds an image": cost.wall}.items():
            metrics[f"{what}, {whole.shards} shards"] = Metric(
                value=value, unit="seconds", n=images, higher_is_better=False
            )
        metrics[f"peak memory, {whole.shards} shards"] = Metric(
            value=whole.peak, unit="bytes", n=1, higher_is_better=False
        )
    for what, value in ratios(short, long).items():
        metrics[f"{what}, ÷"] = Metric(value=value, unit="ratio", n=1, higher_is_better=False)
    return Result(
        benchmark=GROWTH,
        protocol=f"{name}, batch {short.batch}, {TIMES} times the shards",
        subject=subject,
        data=DataSource(
            name="images of no further interest",
            path=source,
            fingerprint=hashlib.sha256(source.encode()).hexdigest(),
            items=long.images,
        ),
        metrics=metrics,
        items=[
            Item(
                id=f"tenth {number}",
                group=f"CPU seconds an image, {long.shards} shards",
                outcome=part.cpu,
                details={"seconds an image": part.wall, "bytes": part.memory},
            )
            for number, part in enumerate(long.parts(PARTS), 1)
        ],
        run=run,
    )


def ratios(short: WholeRun, long: WholeRun) -> dict[str, float]:
    """Return what the long run takes over what the short one takes, by the names of the metrics."""
    return {
        "CPU seconds an image": long.cost.cpu / short.cost.cpu,
        "seconds an image": long.cost.wall / short.cost.wall,
        "peak memory": long.peak / short.peak,
    }
