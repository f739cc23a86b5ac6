"""The table: which attacks each file meets, and the sample of it that runs every time."""

from tests.faults.attacks.cell import Format
from tests.faults.attacks.damage import ATTACKS, Attack
from tests.faults.attacks.formats import FORMATS

__all__ = ["ATTACKS", "FORMATS", "QUICK", "SAMPLE", "attacks_on"]


def attacks_on(format_: Format) -> list[Attack]:
    """Return the attacks that make sense for a file of this kind."""
    return [attack for attack in ATTACKS if not attack.formats or format_.kind in attack.formats]


_BUILDS_MODELS = (
    *("open_clip folder", "transformers folder", "tower's tokenizer", "teacher", "trained", "LLaVA"),
    "language model",
)
QUICK = [each for each in FORMATS if not each.name.startswith(_BUILDS_MODELS) and each.kind != "arrow"]
SAMPLE = ("cut to half", "middle bit flipped", "a FIFO", "nested too deep")
