"""What a difference is called. Nothing else in the suite gives one a name."""

from enum import StrEnum

from diva.errors import Invalid

SIGNIFICANT = 0.05
# what a statement on an ability rests on at least: one set says little of others, and the bootstrap's interval of a
# few items that all came out alike has no width
LEAST_SETS, LEAST_ITEMS = 2, 500

Interval = tuple[float, float]


class Judgement(StrEnum):
    """What an interval and a test show; the last three answer whether an ability was preserved."""

    BETTER = "better"
    WORSE = "worse"
    UNCHANGED = "no change shown"
    UNTESTED = "untested"
    PRESERVED = "preserved"
    NOT_PRESERVED = "not preserved"
    UNDECIDED = "undecided"


def judge(interval: Interval | None, p_value: float | None, *, higher_is_better: bool = True) -> Judgement:
    """Judge a difference by its 95 % interval and its paired test: better or worse only if both exclude 0."""
    if interval is None or p_value is None:
        return Judgement.UNTESTED
    low, high = interval
    if p_value >= SIGNIFICANT or low <= 0 <= high:
        return Judgement.UNCHANGED
    return Judgement.BETTER if (low > 0) == higher_is_better else Judgement.WORSE


def judge_preservation(interval: Interval | None, margin: float, *, sets: int, items: int) -> Judgement:
    """Judge by the 95 % interval of a mean's difference whether an ability was preserved.

    It is a non-inferiority test: preserved if the whole interval lies above -`margin`, not preserved if all of it
    lies below, undecided otherwise, and where there is too little data.

    Args:
        margin: the loss in points that was accepted beforehand.
        sets, items: that the mean is over, the items of all sets together.
    """
    if interval is None or too_little(sets, items):
        return Judgement.UNDECIDED
    low, high = interval
    if low > -margin:
        return Judgement.PRESERVED
    return Judgement.NOT_PRESERVED if high < -margin else Judgement.UNDECIDED


def too_little(sets: int, items: int) -> str:
    """Say why so many sets and items decide nothing; empty where they are enough."""
    if sets >= LEAST_SETS and items >= LEAST_ITEMS:
        return ""
    there = f"{sets} set{'s' * (sets != 1)} with {items} item{'s' * (items != 1)}"
    return f"{there} cannot decide this; it takes {LEAST_SETS} sets with {LEAST_ITEMS}"


def check_margin(margin: float) -> None:
    """Raise InputError unless `margin` is a number of points that a loss can be held against."""
    if not 0 <= margin < 100:
        raise Invalid("--margin", f"{margin} is not a loss in percentage points; give 0 or more, such as 1")
