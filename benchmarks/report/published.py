"""What papers report on MMVP-VLM, for the page to show beside what was measured here.

Sources, as read: DIVA's README (arXiv 2407.20171), GenHancer's README (2503.19480) and DCR's README (2603.04803).
DIVA's figures compare a tower read by CLS and patches with the original read by CLS alone, except for SigLIP and
DFN at 224 px; GenHancer's and DCR's are by the pooled feature. The originals' figures are those of DIVA's README.
"""

import re
from collections.abc import Iterable, Sequence

from diva_benchmarks.report.content import MeasuredScore, PublishedTower, Tower
from diva_benchmarks.report.measures import MMVP, Measure

METHODS = ("original", "DIVA", "GenHancer", "DCR")
# percent of 135 pairs; a dash: not published
_TABLE = """
openai-vit-l14-224    19.3  25.9  31.9  33.3
openai-vit-l14-336    20.0  25.2  29.6  31.1
metaclip-vit-l14-224  23.7  27.4  31.9  32.6
metaclip-vit-h14-224  25.2  31.9  37.0  37.8
siglip-so400m14-224   37.8  40.7  42.2  43.0
siglip-so400m14-384   37.0  38.5  40.0  42.2
dfn-vit-h14-224       39.3  43.7  -     -
dfn-vit-h14-378       34.8  37.8  -     -
"""


def published_towers(measures: Iterable[Measure], towers: Sequence[Tower]) -> list[PublishedTower]:
    """Return the published averages, each beside those measured here of a tower that its record names."""
    ours = [measure for measure in measures if measure.benchmark == MMVP]
    return [
        PublishedTower(
            tower=name,
            scores={method: float(score) for method, score in zip(METHODS, scores, strict=True) if score != "-"},
            measured=[
                MeasuredScore(
                    tower=tower.label, protocol=measure.protocol, score=cell.value, interval=cell.interval
                )
                for measure in ours
                for tower, cell in zip(towers, measure.headline_row().cells, strict=True)
                if cell and _names(tower, name)
            ],
        )
        for name, *scores in (line.split() for line in _TABLE.strip().splitlines())
    ]


def _names(tower: Tower, name: str) -> bool:
    # recipes are called after the tower, with a variant behind: diva/openai-vit-l14-224-as-released
    pattern = rf"(?<![\w-]){re.escape(name)}(?!\w)"
    return any(re.search(pattern, text) for text in (tower.label, tower.source, tower.recipe or ""))
