"""An account in sentences, for the terminal and the page."""

from diva.evaluation.wording import signed_number
from diva_benchmarks.pairs.account import Account, Share

MEANS = {
    "tower": "the tower, at the baseline's feature and rule and on pairs that did not choose it",
    "feature": "the feature by which the trained tower is read",
    "rule": "the rule",
    "adaptation": "adaptation to the test pairs",
    "choice": "the choice on the test set",
}


def said(account: Account) -> list[str]:
    """Return a sentence on the difference, one for each part, and one on what the looks would gain by chance."""
    ours, theirs = account.trained, account.baseline
    quoted = (
        f"{account.data}, {account.pairs} pairs: {ours.tower} {ours.score:.1f} % ({ours.rule}, {ours.protocol})"
        f" against {theirs.tower} {theirs.score:.1f} % ({theirs.rule}, {theirs.protocol}):"
        f" {_points(account.difference, account.interval)}."
    )
    return [quoted, *(f"  {part(share)}" for share in account.shares), *filter(None, [chance(account)])]


def part(share: Share) -> str:
    """Return a part in words."""
    return f"{signed_number(share.points)} of these: {MEANS[share.name]} ({_interval(share.interval)})."


def chance(account: Account) -> str:
    """Return what choosing among the looks gains by chance; nothing where one tower alone was measured."""
    if not account.looks:
        return ""
    return (
        f"The best of {len(account.looks)} looks that differ as these do, but are no better than the baseline,"
        f" gains {account.by_chance:.1f} points on average; in 95 of 100 data sets all of them stay within"
        f" {_interval(account.band).removeprefix('95 % interval ')} points of it."
    )


def _points(value: float, interval: tuple[float, float]) -> str:
    return f"{signed_number(value)} points, {_interval(interval)}"


def _interval(interval: tuple[float, float]) -> str:
    low, high = map(signed_number, interval)
    return f"95 % interval {low} to {high}"
