"""What a difference is called. Nothing else in the suite gives one a name."""

from enum import StrEnum

from diva.errors import InputError

SIGNIFICANT = 0.05

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


def judge(
    interval: Interval | None,
    p_value: float | None = None,
    *,
    higher_is_better: bool = True,
    margin: float | None = None,
) -> Judgement:
    """Judge a difference by its 95 % interval, and by its paired test or against a margin.

    A change is better or worse only if the interval leaves out 0 and the test agrees. Against a `margin`, the loss
    that was accepted beforehand, it is a non-inferiority test: preserved if the whole interval lies above
    -`margin`, not preserved if all of it lies below, undecided otherwise.
    """
    if margin is not None:
        low, high = interval or (float("-inf"), float("inf"))
        if low > -margin:
            return Judgement.PRESERVED
        return Judgement.NOT_PRESERVED if high < -margin else Judgement.UNDECIDED
    if interval is None or p_value is None:
        return Judgement.UNTESTED
    low, high = interval
    if p_value >= SIGNIFICANT or low <= 0 <= high:
        return Judgement.UNCHANGED
    return Judgement.BETTER if (low > 0) == higher_is_better else Judgement.WORSE


def check_margin(margin: float) -> None:
    """Raise InputError unless `margin` is a number of points that a loss can be held against."""
    if not 0 <= margin < 100:
        raise InputError(f"--margin: {margin} is not a loss in percentage points; give 0 or more, such as 1")
