"""MMVP-VLM as a task."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from diva.evaluation.measures import Measured
from diva.evaluation.section import Section
from diva.results import Result
from diva.tasks import Settings, TowerTask
from diva_benchmarks.mmvp_vlm.published import published
from diva_benchmarks.mmvp_vlm.section import patterns
from diva_benchmarks.mmvp_vlm.split import POOLED, split

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from diva.towers import Clip


class MmvpVlmSettings(Settings):
    """How statements and images are matched.

    Attributes:
        protocol: a name from `diva_benchmarks.mmvp_vlm.protocols.PROTOCOLS`.
        seeds: how many draws a random protocol makes; a deterministic one makes none.
    """

    protocol: str = POOLED
    seeds: int = Field(default=5, ge=1)


class MmvpVlmTask(TowerTask):
    """135 pairs of images, matched with two statements each."""

    settings = MmvpVlmSettings

    def check(self, data: Path, settings: MmvpVlmSettings) -> None:
        """Read the protocol's name and the folder."""
        from diva_benchmarks.mmvp_vlm.dataset import read_mmvp
        from diva_benchmarks.mmvp_vlm.protocols import find_protocol

        find_protocol(settings.protocol)
        read_mmvp(data)

    def measure(
        self,
        clip: "Clip",
        data: Path,
        settings: MmvpVlmSettings,
        *,
        device: "torch.device",
        batch: int,
        console: "Console",  # noqa: ARG002 - progress goes to `diva.progress`
    ) -> Result:
        """Measure `clip` on the MMVP-VLM folder `data`."""
        from diva_benchmarks.mmvp_vlm.dataset import read_mmvp
        from diva_benchmarks.mmvp_vlm.evaluate import evaluate
        from diva_benchmarks.mmvp_vlm.protocols import find_protocol

        protocol, seeds = find_protocol(settings.protocol), range(settings.seeds)
        return evaluate(clip, read_mmvp(data), protocol, seeds=seeds, batch=batch, device=device)

    def sections(self, measured: Measured) -> list[Section]:
        """Return the figures by pattern, the tower's and the feature's share of a gain, and what papers report."""
        measures = sorted(measured.measures, key=lambda measure: measure.settings.get("protocol") != POOLED)
        of_patterns = [patterns(measured, measures)] if measures else []
        return [*of_patterns, *split(measured, measures), published(measured, measures)]


TASK = MmvpVlmTask("mmvp-vlm", "MMVP-VLM", place=10)
