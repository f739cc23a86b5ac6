"""Throughput as a task: its results are of a case of training, not of a tower."""

from diva.evaluation.measures import Measured
from diva.evaluation.section import Section
from diva.tasks import Task
from diva_benchmarks.throughput.section import throughput


class ThroughputTask(Task):
    """Images per second in training."""

    of_towers = False

    def sections(self, measured: Measured) -> list[Section]:
        """Return the one table of all cases."""
        return [throughput(measured)] if measured.measures else []


TASK = ThroughputTask("throughput", "Throughput", place=70)
