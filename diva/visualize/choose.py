"""Which MMVP-VLM pairs are shown, from the result file of a comparison."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from diva.errors import Damaged, InputError, Invalid, Missing
from diva.results import Item, Result
from diva.visualize.index import Similarities

TASK = "mmvp-vlm"
SUFFIXES = (".jpg", ".jpeg", ".png")


class Chosen(NamedTuple):
    """A pair as it was measured with both towers."""

    after: Item
    before: Item

    @property
    def changed(self) -> bool:
        """Whether exactly one of the two towers gets the pair right."""
        return is_right(self.after) != is_right(self.before)

    @property
    def moved(self) -> float:
        """How far the smaller of the pair's two margins moved: it decides whether the pair is right."""
        return abs(_smaller_margin(self.after) - _smaller_margin(self.before))


def choose(result: Result, count: int) -> list[Chosen]:
    """Return `count` pairs: those that changed before the others, and among each those that moved most.

    Raises:
        InputError: the result is no comparison of two towers on MMVP-VLM, or lacks similarities.
    """
    if result.task != TASK or result.baseline is None:
        of_one = "" if result.baseline else " of one tower"
        raise Invalid(
            "RESULT",
            f"is {result.measured}{of_one}; give a result that `diva bench mmvp --against ... --out` wrote",
        )
    before = {item.id: item for item in result.baseline.items}
    pairs = [Chosen(item, before[item.id]) for item in result.items if item.id in before]
    return sorted(pairs, key=lambda pair: (not pair.changed, -pair.moved))[:count]


def is_right(item: Item) -> bool:
    """Whether the tower gets the pair right, more often than not where the protocol draws."""
    return item.outcome > 0.5


def similarities(item: Item) -> Similarities:
    """Return the similarity of each statement (rows) and each image (columns).

    Raises:
        InputError: the result file holds none.
    """
    try:
        first, second = ([item.number(f"statement{row}_image{column}") for column in (1, 2)] for row in (1, 2))
    except InputError as error:
        raise Damaged("RESULT", f"pair {item.id} has no similarities; measure it again") from error
    return (first[0], first[1]), (second[0], second[1])


def statements(item: Item) -> tuple[str, str]:
    """Return the pair's two statements."""
    return str(item.details.get("statement1", "")), str(item.details.get("statement2", ""))


def find_images(folder: Path, pair: str) -> tuple[Path, Path]:
    """Return the images of a pair such as "1-2" in an MMVP-VLM folder (`<images>/<type>/<id>.jpg`).

    Raises:
        InputError: one of them is not there.
    """
    first, second = (_find(folder, number) for number in _numbers(pair))
    return first, second


def _numbers(pair: str) -> Sequence[str]:
    numbers = pair.split("-")
    if len(numbers) != 2 or not all(map(str.isdecimal, numbers)):
        raise Damaged("RESULT", f"pair '{pair}' is not named after its two images; measure it again")
    return numbers


def _find(folder: Path, number: str) -> Path:
    found = sorted(path for suffix in SUFFIXES for path in folder.glob(f"*/*/{number}{suffix}"))
    if not found:
        raise Missing("--data", folder, f"has no image {number}; give the MMVP-VLM folder of the result file")
    return found[0]


def _smaller_margin(item: Item) -> float:
    (a, b), (c, d) = similarities(item)
    return min(a - b, d - c)
