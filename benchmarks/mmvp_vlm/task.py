"""MMVP-VLM as a task."""

from pathlib import Path
from typing import TYPE_CHECKING

from diva.evaluation.measures import Measured
from diva.evaluation.section import Section
from diva.results import Result
from diva.tasks import TowerTask
from diva_benchmarks.mmvp_scoring import SCORING
from diva_benchmarks.mmvp_vlm.published import published
from diva_benchmarks.mmvp_vlm.section import patterns
from diva_benchmarks.mmvp_vlm.split import split
from diva_benchmarks.options import POOLED, PairSettings

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from diva.towers import Clip


class MmvpVlmTask(TowerTask):
    """135 pairs of images, matched with two statements each."""

    settings = PairSettings

    @property
    def verb(self) -> str:
        """As `diva bench` calls it."""
        return "mmvp"

    def show(self, result: Result, console: "Console") -> None:
        """Print every pattern, the average and, beside a baseline, the paired verdict."""
        from diva_benchmarks.mmvp_vlm.show import show

        show(result, console)

    def check(self, data: Path, settings: PairSettings) -> None:
        """Read the protocol's name and the folder."""
        from diva_benchmarks.mmvp_folder import read_mmvp
        from diva_benchmarks.protocols import find_protocol

        find_protocol(settings.protocol)
        read_mmvp(data)

    def measure(
        self,
        clip: "Clip",
        data: Path,
        settings: PairSettings,
        *,
        device: "torch.device",
        batch: int,
    ) -> Result:
        """Measure `clip` on the MMVP-VLM folder `data`."""
        from diva_benchmarks.measure_pairs import measure_pairs
        from diva_benchmarks.mmvp_folder import read_mmvp
        from diva_benchmarks.protocols import find_protocol

        return measure_pairs(
            clip,
            read_mmvp(data),
            find_protocol(settings.protocol),
            SCORING,
            seeds=range(settings.seeds),
            batch=batch,
            device=device,
        )

    def sections(self, measured: Measured) -> list[Section]:
        """Return the figures by pattern, the tower's and the feature's share of a gain, and what papers report."""
        measures = sorted(measured.measures, key=lambda measure: measure.settings.get("protocol") != POOLED)
        of_patterns = [patterns(measured, measures)] if measures else []
        return [*of_patterns, *split(measured, measures), published(measured, measures)]


TASK = MmvpVlmTask(SCORING.task, SCORING.title, place=10)
