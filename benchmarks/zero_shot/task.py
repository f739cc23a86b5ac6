"""Zero-shot as a task: its parts are the sets, and the whole is their average."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diva.errors import InputError
from diva.evaluation.measures import Measured, held_difference, paired_difference
from diva.evaluation.section import Change, Section
from diva.results import Result
from diva.tasks import Task
from diva_benchmarks.zero_shot.locate import locate_sets, missing_parts
from diva_benchmarks.zero_shot.section import zero_shot


class ZeroShotTask(Task):
    """Classification and retrieval on 29 sets."""

    def difference(self, result: Result, baseline: Result) -> Change:
        """Return the headline's difference; sets were not drawn from anything, so an average is not paired by"
        " them."""
        if result.part:
            return paired_difference(result, baseline, result.headline)
        return held_difference(result, baseline, result.headline)

    def missing(self, options: Mapping[str, Any]) -> list[str]:
        """Return a sentence on the sets that are not there, and one for each that lacks files."""
        data = Path(str(options.get("data")))
        try:
            located = locate_sets(data, options.get("sets"))
        except InputError as error:
            return [str(error)]
        absent = [each.spec.name for each in located if not each.folders]
        none = f"{data} has no folder for {len(absent)} of {len(located)} sets: {', '.join(absent)}; docs/data.md"
        lacking = [line for each in located for folder in each.folders for line in missing_parts(folder)]
        return [*([none] if absent else []), *lacking]

    def sections(self, measured: Measured) -> list[Section]:
        """Return the one section of sets and averages."""
        return [zero_shot(self.title, measured)] if measured.measures else []


TASK = ZeroShotTask("zero-shot", "Zero-shot", place=20)
