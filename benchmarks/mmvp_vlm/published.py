"""What papers report on MMVP-VLM, for the page to show beside what was measured here.

Sources, as read: DIVA's README (arXiv 2407.20171), GenHancer's README (2503.19480) and DCR's README (2603.04803).
DIVA's figures compare a tower read by CLS and patches with the original read by CLS alone, except for SigLIP and
DFN at 224 px; GenHancer's and DCR's are by the pooled feature. The originals' figures are those of DIVA's README.
"""

import re
from collections.abc import Iterator, Sequence

from diva.evaluation.measures import Measure, Measured, Tower
from diva.evaluation.section import Inline, Number, Paragraph, Row, Section, Words, plain_table, words

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


def published(measured: Measured, measures: Sequence[Measure]) -> Section:
    """Return the published averages, each beside those measured here of a tower that its record names."""
    rows = []
    for name, *scores in (line.split() for line in _TABLE.strip().splitlines()):
        cells: list[list[Inline]] = [
            [Number(value=float(score), unit="percent", style="published")] if score != "-" else []
            for score in scores
        ]
        rows.append(Row(name=name, cells=[*cells, list(_measured(name, measured, measures))]))
    said = (
        "MMVP-VLM averages in percent. Figures in italics with an asterisk are published, not measured here: from"
        " the READMEs of DIVA (arXiv 2407.20171), GenHancer (2503.19480) and DCR (2603.04803). DIVA's compare CLS"
        " plus patches after training with CLS alone before it, but for SigLIP and DFN at 224 px."
    )
    return Section(
        id="published",
        title="Published figures",
        blocks=[Paragraph(content=words(said)), plain_table(["Tower", *METHODS, "Measured here"], rows, wide=True)],
        published=True,
    )


def _measured(name: str, measured: Measured, measures: Sequence[Measure]) -> Iterator[Inline]:
    for measure in measures:
        row = measure.headline_row()
        for column, tower in enumerate(measured.towers):
            number = row.number(column)
            if number and _names(tower, name):
                yield Words(text=f"{tower.label} ({measure.protocol})", style="note")
                yield number


def _names(tower: Tower, name: str) -> bool:
    # recipes are called after the tower, with a variant behind: diva/openai-vit-l14-224-as-released
    pattern = rf"(?<![\w-]){re.escape(name)}(?!\w)"
    return any(re.search(pattern, text) for text in (tower.label, tower.source, tower.recipe or ""))
