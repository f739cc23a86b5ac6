"""What a quoted difference is made of: the tower, its feature, the rule, adaptation, and choice on the test set.

The parts add up to the quoted difference, and each has an interval over pairs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from diva.errors import Changed, Invalid, Unknown, did_you_mean
from diva.evaluation.comparison import by_metric
from diva.evaluation.statistics import Interval, difference_interval, macro_mean
from diva.results import Result
from diva_benchmarks.mmvp_scoring import SCORING as MMVP
from diva_benchmarks.pairs.adaptation import adapts
from diva_benchmarks.pairs.choice import best_by_chance, held_out
from diva_benchmarks.pairs.scores import categories_of
from diva_benchmarks.pairs.sets import TASK

FILE = "account.json"
TASKS = (TASK, MMVP.task)  # whose results say which pairs are right by which rule
POINTS = 100.0

Part = Literal["tower", "feature", "rule", "adaptation", "choice"]
Outcomes = NDArray[np.float64]


class Quoted(BaseModel):
    """A tower's score as it stands in the comparison."""

    model_config = ConfigDict(extra="forbid")

    tower: str
    protocol: str
    rule: str
    score: float = Field(description="percent")


class Share(BaseModel):
    """One part of the difference, in points."""

    model_config = ConfigDict(extra="forbid")

    name: Part
    points: float
    interval: Interval


class Look(BaseModel):
    """One of the towers that were measured before one was chosen."""

    model_config = ConfigDict(extra="forbid")

    name: str
    score: float = Field(description="percent")


class Account(BaseModel):
    """The account of one quoted difference.

    Attributes:
        looks: empty where one tower alone was measured.
        unchanged: percent; the baseline's score by the quoted rule, with what feature and adaptation add.
        by_chance: points that the best of so many looks gains if none is better than that.
        band: points around it that, of such looks, none leaves in 95 of 100 data sets.
    """

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    data: str
    pairs: int
    baseline: Quoted
    trained: Quoted
    difference: float = Field(description="points, as quoted")
    interval: Interval
    shares: list[Share]
    looks: list[Look] = []
    unchanged: float
    by_chance: float = 0.0
    band: Interval = (0.0, 0.0)


def account(
    trained: Result,
    baseline: Result,
    *,
    same_feature: Result | None = None,
    unadapted: Result | None = None,
    looks: Sequence[Result] = (),
    rule: str | None = None,
    baseline_rule: str | None = None,
) -> Account:
    """Split the difference of `trained` and `baseline`, as both are quoted.

    The choice is what the quoted score loses on pairs that had no part in choosing it. Feature, rule and adaptation
    to the test pairs are what the trained tower's score gains by them alone, one after another. The rest, at the
    baseline's feature and rule, is the tower's.

    Args:
        same_feature: the trained tower by the baseline's protocol, where the quoted feature is another.
        unadapted: the trained tower by the quoted feature, where the quoted protocol adapts to the test pairs.
        looks: results by the quoted protocol of all towers among which `trained` was chosen, itself among them.
        rule, baseline_rule: of the quoted scores; the headline unless given, and the same for both.

    Raises:
        InputError: the results are not of pairs or not of the same, or one that the account needs is missing.
    """
    fixed = unadapted or trained
    plain = same_feature or fixed
    for each in (trained, baseline, fixed, plain, *looks):
        check_task(each)
    after = rule or trained.headline
    before = baseline_rule or after
    if adapts(baseline):
        raise Invalid("--baseline", f"{_name(baseline)} adapts to the test pairs; give its result without --adapt")
    if adapts(trained) and unadapted is None:
        raise Changed(
            "--unadapted",
            f"the trained tower was measured by '{trained.protocol}', which adapts to the test pairs;"
            " give its result without --adapt too",
        )
    if fixed.protocol != baseline.protocol and same_feature is None:
        raise Changed(
            "--same-feature",
            f"the trained tower was measured by '{fixed.protocol}' and the baseline by"
            f" '{baseline.protocol}'; give the trained tower's result by '{baseline.protocol}' too",
        )
    _check(trained, baseline, fixed, plain, looks)
    for result, name in ((trained, after), (fixed, before), (baseline, before), (baseline, after)):
        rules = [each for each, metric in result.metrics.items() if not metric.breakdown]
        if name not in rules:
            raise Unknown(_name(result), f"has no score '{name}'; {did_you_mean(name, rules)}")
    groups = categories_of(baseline)
    quoted = _outcomes(trained, after, baseline)
    by_rule, by_baseline_rule = (_outcomes(fixed, each, baseline) for each in (after, before))
    bare, reference = _outcomes(plain, before, baseline), _outcomes(baseline, before, baseline)
    table = np.array([_outcomes(each, after, baseline) for each in looks] or [quoted])
    gained: dict[Part, Outcomes] = {
        "feature": by_baseline_rule - bare,
        "rule": by_rule - by_baseline_rule,
        "adaptation": quoted - by_rule,
    }
    total, interval = _points(quoted - reference, groups)
    unchanged = _outcomes(baseline, after, baseline)
    expected, (low, high) = best_by_chance(table, unchanged, groups) if looks else (0.0, (0.0, 0.0))
    tower, choice = _tower_and_choice(
        bare - reference, quoted - held_out(table, groups), groups, chosen=len(looks) > 1
    )
    return Account(
        data=baseline.data.name,
        pairs=len(quoted),
        baseline=_quoted(baseline, before),
        trained=_quoted(trained, after),
        difference=total,
        interval=interval,
        shares=[tower, *(_share(name, values, groups) for name, values in gained.items()), choice],
        looks=[
            Look(name=Path(each.subject.source).name, score=POINTS * macro_mean(row, groups))
            for each, row in zip(looks, table, strict=False)
        ],
        unchanged=POINTS * macro_mean(unchanged + gained["feature"] + gained["adaptation"], groups),
        by_chance=POINTS * expected,
        band=(POINTS * low, POINTS * high),
    )


def _tower_and_choice(
    gained: Outcomes, kept_apart: Outcomes, groups: Sequence[str] | None, *, chosen: bool
) -> tuple[Share, Share]:
    """Return both parts; what one misses of the truth, the other has too much.

    The interval is that of the chosen tower's own differences: wider than that of the held-out outcomes, which are
    means over several towers and vary less than a choice does.
    """
    whole, (low, high) = _points(gained, groups)
    choice = _points(kept_apart, groups)[0] if chosen else 0.0
    value = whole - choice
    around = (low - whole, high - whole)
    return (
        Share(name="tower", points=value, interval=(value + around[0], value + around[1])),
        Share(
            name="choice",
            points=choice,
            interval=(choice - around[1], choice - around[0]) if chosen else (0.0, 0.0),
        ),
    )


def _share(name: Part, values: Outcomes, groups: Sequence[str] | None) -> Share:
    points, interval = _points(values, groups)
    return Share(name=name, points=points, interval=interval)


def check_task(result: Result) -> None:
    """Check that `result` is of pairs.

    Raises:
        InputError: it is not.
    """
    if result.task not in TASKS or "protocol" not in result.settings:
        raise Invalid(
            _name(result),
            f"its result of '{result.measured}' is not one that diva bench pairs or diva bench"
            " mmvp writes; give one of theirs",
        )


def _check(trained: Result, baseline: Result, fixed: Result, plain: Result, looks: Sequence[Result]) -> None:
    for each in (trained, fixed, plain, *looks):
        if (each.measured, each.data.fingerprint) != (baseline.measured, baseline.data.fingerprint):
            raise Changed(
                _name(each), f"was measured on other pairs than {_name(baseline)}; measure both on the same data"
            )
    feature = {"protocol": trained.settings["protocol"]}
    if fixed.settings != feature or fixed.subject.sha256 != trained.subject.sha256:
        raise Invalid(
            "--unadapted", f"is not the trained tower by the feature '{feature['protocol']}' alone; measure it"
        )
    if plain.protocol != baseline.protocol or plain.subject.sha256 != trained.subject.sha256:
        raise Invalid(
            "--same-feature",
            f"is not the trained tower by the baseline's protocol '{baseline.protocol}'; measure it",
        )
    if looks and all(each.subject.sha256 != trained.subject.sha256 for each in looks):
        raise Invalid("--looks", f"{_name(trained)} is not among them; give all towers that were looked at")
    for each in looks:
        if each.protocol != trained.protocol:
            raise Changed(
                "--looks",
                _name(each),
                f"was measured by '{each.protocol}', the quoted tower by"
                f" '{trained.protocol}'; measure all by the quoted protocol",
            )


def _outcomes(result: Result, rule: str, order: Result) -> Outcomes:
    """Return the outcomes by `rule`, in the order of the items of `order`."""
    found = {item.id: item.outcome for item in by_metric(result, rule).items}
    if found.keys() != {item.id for item in order.items}:
        raise Changed(_name(result), f"holds other pairs than {_name(order)}; measure both again")
    return np.array([found[item.id] for item in order.items])


def _points(values: Outcomes, groups: Sequence[str] | None) -> tuple[float, Interval]:
    low, high = difference_interval(values, np.zeros(len(values)), groups)
    return POINTS * macro_mean(values, groups), (POINTS * low, POINTS * high)


def _quoted(result: Result, rule: str) -> Quoted:
    score = result.metrics[rule].value
    return Quoted(tower=_name(result), protocol=result.protocol, rule=rule, score=score)


def _name(result: Result) -> str:
    return result.subject.label
