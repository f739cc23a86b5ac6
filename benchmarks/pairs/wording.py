"""An account in sentences, for the terminal and the page."""

from diva.evaluation.wording import signed_number
from diva_benchmarks.pairs.account import Account, Share

MEANS = {
    "tower": "what the tower keeps with the baseline's feature and rule, on pairs that did not choose it",
    "feature": "another image feature than the baseline's",
    "rule": "another rule than the baseline's",
    "adaptation": "adapting to the test pairs before they are scored",
    "choice": "choosing the best of the towers by these very pairs",
}


def said(account: Account) -> list[str]:
    """Return a sentence on the difference, one for each part, and one on what the looks would gain by chance."""
    ours, theirs = account.trained, account.baseline
    quoted = (
        f"{account.data}, {account.pairs} pairs: {ours.tower} {ours.score:.1f} % ({ours.rule}, {ours.protocol})"
        f" against {theirs.tower} {theirs.score:.1f} % ({theirs.rule}, {theirs.protocol}):"
        f" {_points(account.difference, account.interval)}."
    )
    parts = (
        f"  {signed_number(share.points)} {share.name}: {MEANS[share.name]} ({_interval(share.interval)})."
        for share in in_play(account)
    )
    return [quoted, answer(account), *parts, *filter(None, [chance(account)])]


def in_play(account: Account) -> list[Share]:
    """Return the tower's part, and the others that the two scores differ by."""
    return [share for share in account.shares if share.name == "tower" or share.interval != (0, 0)]


def answer(account: Account) -> str:
    """Return what the difference is made of, in one sentence."""
    tower, *others = in_play(account)
    parts = [f"{signed_number(tower.points)} are the tower's"]
    parts += [f"{signed_number(share.points)} the {share.name}'s" for share in others]
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"Of {signed_number(account.difference)} points, {listed}."


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
