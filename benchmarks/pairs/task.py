"""Sets of pairs as a task."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from diva.errors import Invalid
from diva.evaluation.measures import Measured
from diva.evaluation.section import Section
from diva.results import Comparison, Result
from diva.tasks import TowerTask
from diva_benchmarks.pairs.account import FILE
from diva_benchmarks.pairs.adaptation import METHODS, AdaptiveSettings, told
from diva_benchmarks.pairs.sets import PLAIN, SETS, find_set
from diva_benchmarks.pairs.sets import TASK as NAME

if TYPE_CHECKING:
    import torch

    from diva.towers import Clip
    from diva_benchmarks.measure_pairs import Adaptation


class SetSettings(AdaptiveSettings):
    """Which set, and how its statements and images are matched.

    Attributes:
        set: a name from `diva_benchmarks.pairs.sets.SETS`.
    """

    set: str = Field(default=PLAIN, description=f"{', '.join(SETS)}: its layout; {PLAIN} is a pairs.jsonl")


class PairsTask(TowerTask):
    """Statements and images that differ in one detail."""

    settings = SetSettings

    def title_of(self, part: str) -> str:
        """Return the title of a set."""
        return SETS[part].title if part in SETS else super().title_of(part)

    def check(self, data: Path, settings: SetSettings) -> None:
        """Read the protocol's and the set's names, what an adaptation is told, and the folder."""
        from diva_benchmarks.pairs.layouts import read_pairs
        from diva_benchmarks.protocols import find_protocol

        find_protocol(settings.protocol)
        facts = find_set(settings.set)
        if told(settings) and (most := METHODS[settings.adapt].texts) and facts.texts > most:
            raise Invalid(
                "--adapt",
                f"{settings.adapt} matches {most} statements, and {facts.title} has {facts.texts}; take"
                " another set",
            )
        read_pairs(settings.set, data)

    def measure(
        self,
        clip: "Clip",
        data: Path,
        settings: SetSettings,
        *,
        device: "torch.device",
        batch: int,
    ) -> Result:
        """Measure `clip` on the set in the folder `data`."""
        from diva_benchmarks.measure_pairs import measure_pairs
        from diva_benchmarks.pairs.layouts import read_pairs
        from diva_benchmarks.protocols import find_protocol

        return measure_pairs(
            clip,
            read_pairs(settings.set, data),
            find_protocol(settings.protocol),
            find_set(settings.set).scoring(settings.set),
            seeds=range(settings.seeds),
            batch=batch,
            device=device,
            adaptation=_load_adaptation(settings, device) if settings.adapt else None,
        )

    def compare(self, result: Result, baseline: Result) -> list[Comparison]:
        """Compare two results by every rule, the headline first."""
        from diva_benchmarks.pairs.scores import compare_scores

        return compare_scores(result, baseline)

    def sections(self, measured: Measured) -> list[Section]:
        """Return the scores side by side, and what so many pairs can decide; adapted towers apart."""
        from diva_benchmarks.pairs.section import sections

        return sections(self.title, measured)

    def other_files(self) -> Mapping[str, Callable[[Path], Section]]:
        """Return the reader of accounts."""
        from diva_benchmarks.pairs.account_section import read_account

        return {FILE: read_account}


def _load_adaptation(settings: SetSettings, device: "torch.device") -> "Adaptation":
    module = import_module(f"diva_benchmarks.pairs.{settings.adapt.replace('-', '_')}")
    adaptation: Adaptation = module.load(settings, told(settings), device)
    return adaptation


TASK = PairsTask(NAME, "Pairs", place=11)
