"""Probes as a task."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from diva.results import Comparison, Result
from diva.tasks import Settings, TowerTask

if TYPE_CHECKING:
    import torch

    from diva.towers import Clip

NAME = "probe"


class ProbeSettings(Settings):
    """How images are told apart.

    Attributes:
        neighbours: of the nearest images, how many vote.
    """

    neighbours: int = Field(default=20, ge=1, description="nearest images that vote")


class ProbeTask(TowerTask):
    """Classes told by frozen image features, without text: a linear probe, the nearest neighbours, and clusters;
    for image-only towers, too."""

    settings = ProbeSettings
    needs_text = False

    def check(self, data: Path, settings: ProbeSettings) -> None:  # noqa: ARG002
        """Read the set's labels."""
        from diva_benchmarks.probe.data import read_set

        read_set(data)

    def measure(
        self, clip: "Clip", data: Path, settings: ProbeSettings, *, device: "torch.device", batch: int
    ) -> Result:
        """Measure `clip` on the set in the folder `data`."""
        from diva_benchmarks.probe.data import read_set
        from diva_benchmarks.probe.measure import measure_probes

        return measure_probes(clip, read_set(data), neighbours=settings.neighbours, device=device, batch=batch)

    def compare(self, result: Result, baseline: Result) -> list[Comparison]:
        """Compare two results by every probe, the linear one first."""
        from diva_benchmarks.probe.measure import compare_probes

        return compare_probes(result, baseline)


TASK = ProbeTask(
    NAME,
    "Probes",
    place=25,
    introduction="What frozen image features tell of classes, without text: NMI and ARI are of k-means clusters.",
)
