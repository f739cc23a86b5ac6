"""The table: which attacks each file meets."""

from tests.faults.attacks.cell import Format
from tests.faults.attacks.damage import ATTACKS, Attack
from tests.faults.attacks.formats import FORMATS

__all__ = ["ATTACKS", "FORMATS", "HOLES", "attacks_on"]


def attacks_on(format_: Format) -> list[Attack]:
    """Return the attacks that make sense for a file of this kind."""
    return [attack for attack in ATTACKS if not attack.formats or format_.kind in attack.formats]


_PLACES = ("a FIFO", "a link to /dev/zero", "a dangling link", "a looping link", "a folder")
# what is not right yet: the test fails as soon as one of these is fixed, and the page names them
HOLES = {
    "teacher: tokenizer/tokenizer.json": _PLACES,  # transformers makes up an empty vocabulary
    "transformers folder: image processor": _PLACES,  # counts as absent: the defaults are used
}
