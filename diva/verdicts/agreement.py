"""How far verdicts can be trusted: do two draws of noise agree, and how many abstain?"""

from pathlib import Path

import torch
from pydantic import BaseModel
from rich.table import Table

from diva.atomic import write_json
from diva.data.cache import VerdictIndex, VerdictSource
from diva.data.cache.verdicts import VerdictImage
from diva.errors import Failed
from diva.verdicts.judge import LOGITS, LOSSES, SECOND, holds
from diva.verdicts.statements import Statements

FILE = "agreement.json"


class GroupAgreement(BaseModel):
    """One group, in percent of the images; None where there is none to tell.

    Attributes:
        abstained: verdicts whose best two losses lie too near each other.
        agreed: of those that were made twice and abstained neither time, with the second one.
        as_the_tower: of those that did not abstain, what the tower read itself.
        chance: what `agreed` is for coins that fall on each alternative alike.
    """

    abstained: float
    agreed: float | None
    as_the_tower: float | None
    chance: float


class Agreement(BaseModel):
    """The file `agreement.json` beside the verdicts.

    Attributes:
        images: that were judged; checked: those that were judged twice.
        groups: those that the teacher judged.
    """

    images: int
    checked: int
    groups: dict[str, GroupAgreement]

    def table(self) -> Table:
        """Lay it out for the terminal."""
        table = Table(title=f"{self.images:,} images were judged, {self.checked:,} of them twice")
        for heading in ("group", "abstained, %", "draws agree, %", "by chance, %", "tower agrees, %"):
            table.add_column(heading, justify="left" if heading == "group" else "right")
        for name, found in self.groups.items():
            numbers = (found.abstained, found.agreed, found.chance, found.as_the_tower)
            table.add_row(name, *("-" if number is None else f"{number:.1f}" for number in numbers))
        return table


def measure_agreement(folder: Path, index: VerdictIndex, statements: Statements, margin: float) -> Agreement:
    """Read every verdict of the complete cache in `folder`, and write `agreement.json` there.

    Raises:
        RunError: no image was judged, a shard is damaged, or the place cannot be written to.
    """
    images = VerdictSource(str(folder), folder, index.shards).images()
    found = [raw.verdicts() for raw in images if isinstance(raw, VerdictImage)]
    if not found:
        raise Failed("data", f"no image of {index.source} could be judged; repair the source")
    kept = torch.stack(found)
    twice = kept[:, SECOND].any(dim=1)
    groups = {}
    for name in statements.judged:
        own = kept[:, :, statements.spans[name]]
        first, second, tower = own[:, LOSSES].argmin(1), own[:, SECOND].argmin(1), own[:, LOGITS].argmax(1)
        sure = holds(own[:, LOSSES], margin)
        both = sure & twice & holds(own[:, SECOND], margin)
        groups[name] = GroupAgreement(
            abstained=100 * (~sure).float().mean().item(),
            agreed=_percent((first == second)[both]),
            as_the_tower=_percent((first == tower)[sure]),
            chance=100 / own.shape[2],
        )
    agreement = Agreement(images=len(kept), checked=int(twice.sum()), groups=groups)
    write_json(agreement, folder / FILE)
    return agreement


def _percent(right: torch.Tensor) -> float | None:
    return 100 * right.float().mean().item() if len(right) else None
