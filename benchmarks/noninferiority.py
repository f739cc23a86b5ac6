"""Whether an ability was preserved: a difference's interval against a margin stated beforehand."""

from enum import StrEnum

from diva.errors import InputError
from diva.results import Comparison
from diva_benchmarks.signed import signed


class Preservation(StrEnum):
    """The three outcomes of a non-inferiority test."""

    PRESERVED = "preserved"
    NOT_PRESERVED = "not preserved"
    UNDECIDED = "undecided"


def judge(interval: tuple[float, float] | None, margin: float) -> Preservation:
    """Judge a difference's 95 % interval against the loss of `margin` points that would still be accepted.

    Preserved if the whole interval lies above -`margin`, not preserved if the whole of it lies below, and
    undecided otherwise: an interval that is too wide proves neither.
    """
    if interval is None:
        return Preservation.UNDECIDED
    low, high = interval
    if low > -margin:
        return Preservation.PRESERVED
    return Preservation.NOT_PRESERVED if high < -margin else Preservation.UNDECIDED


def sentence(comparison: Comparison, margin: float) -> str:
    """Say the judgement with its reason."""
    judgement = judge(comparison.interval, margin)
    where = {
        Preservation.PRESERVED: "lies above",
        Preservation.NOT_PRESERVED: "lies below",
        Preservation.UNDECIDED: "does not decide on",
    }[judgement]
    low, high = comparison.interval or (float("-inf"), float("inf"))
    return (
        f"{judgement}: the difference of {signed(comparison.difference, 2)} points, 95 % interval"
        f" {signed(low, 2)} to {signed(high, 2)}, {where} the margin of {signed(-margin, 2)}"
    )


def check_margin(margin: float) -> None:
    """Raise InputError unless `margin` is a number of points that a loss can be held against."""
    if not 0 <= margin < 100:
        raise InputError(f"--margin: {margin} is no loss in percentage points; give 0 or more, such as 1")
