"""Whether an ability was preserved: a difference's interval against a margin stated beforehand."""

from enum import StrEnum

from diva.errors import InputError
from diva.results import Comparison


class Preservation(StrEnum):
    """The three outcomes of a non-inferiority test."""

    PRESERVED = "preserved"
    NOT_PRESERVED = "not preserved"
    UNDECIDED = "undecided"


def judge(comparison: Comparison, margin: float) -> Preservation:
    """Judge a difference from the baseline against the loss of `margin` points that would still be accepted.

    Preserved if the whole 95 % interval lies above -`margin`, not preserved if the whole of it lies below, and
    undecided otherwise: an interval that is too wide proves neither.
    """
    if comparison.interval is None:
        return Preservation.UNDECIDED
    low, high = comparison.interval
    if low > -margin:
        return Preservation.PRESERVED
    return Preservation.NOT_PRESERVED if high < -margin else Preservation.UNDECIDED


def sentence(comparison: Comparison, margin: float) -> str:
    """Say the judgement with its reason."""
    judgement = judge(comparison, margin)
    where = {
        Preservation.PRESERVED: "lies above",
        Preservation.NOT_PRESERVED: "lies below",
        Preservation.UNDECIDED: "does not decide on",
    }[judgement]
    low, high = comparison.interval or (float("-inf"), float("inf"))
    return (
        f"{judgement}: the difference of {_points(comparison.difference)} points, 95 % interval {_points(low)} to"
        f" {_points(high)}, {where} the margin of {_points(-margin)}"
    )


def check_margin(margin: float) -> None:
    """Raise InputError unless `margin` is a number of points that a loss can be held against."""
    if not 0 <= margin < 100:
        raise InputError(f"--margin: {margin} is no loss in percentage points; give 0 or more, such as 1")


def _points(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")
