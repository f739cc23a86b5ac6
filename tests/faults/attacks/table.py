"""The table: which attacks each file meets."""

from tests.faults.attacks.cell import Format
from tests.faults.attacks.damage import ATTACKS, Attack
from tests.faults.attacks.formats import FORMATS

__all__ = ["ATTACKS", "FORMATS", "attacks_on"]


def attacks_on(format_: Format) -> list[Attack]:
    """Return the attacks that make sense for a file of this kind."""
    return [attack for attack in ATTACKS if not attack.formats or format_.kind in attack.formats]
