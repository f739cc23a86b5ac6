"""The table: which attacks each file meets, and the sample of it that runs every time."""

from tests.faults.attacks.cell import Format
from tests.faults.attacks.damage import ATTACKS, Attack
from tests.faults.attacks.formats import FORMATS

__all__ = ["ATTACKS", "FORMATS", "HOLES", "QUICK", "SAMPLE", "attacks_on"]


def attacks_on(format_: Format) -> list[Attack]:
    """Return the attacks that make sense for a file of this kind."""
    return [attack for attack in ATTACKS if not attack.formats or format_.kind in attack.formats]


_BUILDS_MODELS = ("open_clip folder", "transformers folder", "teacher", "trained projection", "LLaVA")
QUICK = [each for each in FORMATS if not each.name.startswith(_BUILDS_MODELS) and each.kind != "arrow"]
SAMPLE = ("cut to half", "middle bit flipped", "a FIFO", "nested too deep")
# what is not right yet: the test fails as soon as one of these is fixed, and the page names them
HOLES = {
    "picture of the index": ("2 billion by 2 billion pixels",),  # is not decoded before the report
    "zero-shot: kind": ("NUL bytes at its end", "a pickle"),  # the sentence has line feeds of the file in it
    "MMBench: table": ("a gigabyte of holes behind it",),  # has no limit of size
    "LLaVA-Bench: reviews": (  # bytes outside UTF-8 end in a traceback; lines that say nothing are asked again
        "empty",
        "last bit flipped",
        "nothing but NUL bytes",
        "not UTF-8",
        "a pickle",
        "a gigabyte of holes behind it",
        "nested too deep",
        "mappings nested too deep",
        "a number of 5,000 digits",
        "a number beyond any float",
        "not a number",
        "null",
        "an empty list",
    ),
    "segmentation: classes": ("empty", "nothing but NUL bytes"),  # other names are used, or NUL bytes as a name
}
