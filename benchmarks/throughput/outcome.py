"""What was measured of one case, as the result file has it."""

import hashlib
from dataclasses import dataclass

from diva.evaluation.statistics import mean_interval
from diva.results import DataSource, Item, Metric, Result, Run, Subject
from diva_benchmarks.throughput.cases import Case
from diva_benchmarks.throughput.measure import Measurement

TERA = 1e12
TASK = "throughput"


@dataclass(frozen=True)
class Outcome:
    """A measured case.

    Attributes:
        processes: that made the updates together.
        flops: floating-point operations an image that the step needs, without any that are done twice.
        peak: FLOP/s of one device in a large matrix product of the run's precision.
        gradient_bytes: exchanged between processes in an update.
    """

    case: Case
    measurement: Measurement
    processes: int
    flops: float
    peak: float
    gradient_bytes: int

    @property
    def flops_per_second(self) -> float:
        """What one device did of the step's own work in a second."""
        return self.measurement.images_per_second * self.flops / self.processes

    @property
    def share_of_peak(self) -> float:
        """The share of the device's peak that this is."""
        return self.flops_per_second / self.peak


def as_result(outcome: Outcome, subject: Subject, source: str, run: Run, baseline: Result | None) -> Result:
    """Return the result file's record of `outcome`; each timed update is an item, its outcome the seconds."""
    case, found = outcome.case, outcome.measurement
    seconds = {f"seconds an update: {name}": value for name, value in found.split.items()}
    low, high = mean_interval(found.seconds)
    updates = len(found.seconds)
    metrics = {
        "images/s": Metric(
            value=found.images_per_second,
            unit="images/s",
            n=found.images * updates,
            interval=(found.images / high, found.images / low),
        ),
        "TFLOP/s": Metric(value=outcome.flops_per_second / TERA, unit="TFLOP/s", n=updates),
        "share of peak": Metric(value=outcome.share_of_peak, unit="ratio", n=updates),
        "peak": Metric(value=outcome.peak / TERA, unit="TFLOP/s", n=1),
        "TFLOP an image": Metric(value=outcome.flops / TERA, unit="TFLOP", n=1, higher_is_better=False),
        "memory": Metric(value=found.memory, unit="bytes", n=1, higher_is_better=False),
        "gradients exchanged": Metric(value=outcome.gradient_bytes, unit="bytes", n=1, higher_is_better=False),
    }
    for name, value in seconds.items():
        metrics[name] = Metric(value=value, unit="seconds", n=updates, higher_is_better=False)
    return Result(
        task=TASK,
        headline="images/s",
        settings={
            "recipe": case.recipe,
            "batch": case.batch,
            "options": case.label,
            "processes": outcome.processes,
        },
        subject=subject,
        data=DataSource(
            name="images of no further interest",
            path=source,
            fingerprint=hashlib.sha256(source.encode()).hexdigest(),
            items=found.images * updates,
        ),
        metrics=metrics,
        items=[
            Item(id=f"update {number}", group="timed", outcome=second, details={"loss": loss})
            for number, (second, loss) in enumerate(zip(found.seconds, found.losses, strict=True), 1)
        ],
        run=run,
        baseline=baseline,
    )
