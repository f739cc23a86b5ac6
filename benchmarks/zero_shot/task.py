"""Zero-shot as a task: its parts are the sets, and the whole is their average."""

from diva.evaluation.measures import Measured, held_difference, paired_difference
from diva.evaluation.section import Change, Section
from diva.results import Result
from diva.tasks import Task
from diva_benchmarks.zero_shot.section import zero_shot


class ZeroShotTask(Task):
    """Classification and retrieval on 29 sets."""

    def difference(self, result: Result, baseline: Result) -> Change:
        """Return the headline's difference; sets were not drawn from anything, so an average is not paired by"
        " them."""
        if result.part:
            return paired_difference(result, baseline, result.headline)
        return held_difference(result, baseline, result.headline)

    def sections(self, measured: Measured) -> list[Section]:
        """Return the one section of sets and averages."""
        return [zero_shot(self.title, measured)] if measured.measures else []


TASK = ZeroShotTask("zero-shot", "Zero-shot", place=20)
