import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import norm

from diva.evaluation.comparison import compare
from diva.evaluation.statistics import difference_interval, wilson_interval
from diva.results import DataSource, Item, Metric, Result, Run, Subject
from diva_benchmarks.zero_shot.measured import ALL
from diva_benchmarks.zero_shot.summary import average_interval, summarise

RUN = Run(
    command=["test"],
    started=datetime(2026, 1, 1, tzinfo=UTC),
    wall_seconds=1,
    peak_memory_bytes=1,
    seeds=[],
    versions={},
    device="cpu",
)


def alone(name: str, outcomes: list[float], tower: str, metric: str = "acc1") -> Result:
    mean, n = float(np.mean(outcomes)), len(outcomes)
    low, high = wilson_interval(mean, n)
    figure = Metric(value=100 * mean, unit="percent", n=n, interval=(100 * low, 100 * high))
    return Result(
        task="zero-shot",
        part=name,
        headline=metric,
        subject=Subject(label=tower, source=tower, architecture="ViT", sha256=tower),
        data=DataSource(name=name.upper(), path=name, fingerprint=f"hash of {name}", items=n),
        metrics={metric: figure},
        items=[Item(id=str(number), group=ALL, outcome=each) for number, each in enumerate(outcomes)],
        run=RUN,
    )


def pair(name: str, ours: list[float], theirs: list[float], metric: str = "acc1") -> Result:
    result = alone(name, ours, "tower", metric)
    result.baseline = alone(name, theirs, "baseline", metric)
    result.comparisons = [compare(result, result.baseline, metric)]
    return result


def summary(*results: Result, margin: float = 1.0) -> Result:
    by_name = {result.part: result for result in results}
    return summarise(by_name, ["pets", "dtd"], ["cars"], margin=margin, data=Path("data"), run=RUN)


def test_the_interval_of_an_average_worked_by_hand() -> None:
    # errors below 3 and 4 of two sets: 5 together, halved; above 6 and 8: 10 together, halved
    assert average_interval([50, 70], [(47, 56), (66, 78)]) == (60 - 2.5, 60 + 5)
    assert average_interval([50, 70], [(47, 56), None]) == (60 - 1.5, 60 + 3)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 10)), min_size=1, max_size=29))
def test_normal_estimates_average_as_their_variances_add(sets: list[tuple[float, float]]) -> None:
    values, errors = np.array(sets).T
    z = norm.isf(0.025)
    intervals = [(value - z * error, value + z * error) for value, error in sets]
    error = math.sqrt(float((errors**2).sum())) / len(sets)
    expected = (values.mean() - z * error, values.mean() + z * error)
    assert_allclose(average_interval(list(values), intervals), expected, atol=1e-6)


def test_the_interval_of_a_difference_is_that_of_a_bootstrap_within_sets() -> None:
    random = np.random.default_rng(0)
    sets = {name: (random.random((2, n)) < 0.6).astype(float) for name, n in (("a", 300), ("b", 900), ("c", 150))}
    found = summary(*(pair(name, *outcomes.tolist()) for name, outcomes in sets.items())).comparisons[0]
    groups = [name for name, outcomes in sets.items() for _ in outcomes[0]]
    ours, theirs = np.concatenate(list(sets.values()), axis=1)
    assert found.interval == pytest.approx(100 * np.array(difference_interval(ours, theirs, groups)), abs=0.2)


def test_sets_weigh_alike_whatever_their_size_and_kinds_are_averaged_apart() -> None:
    found = summary(
        alone("mnist", [1, 1, 0, 0], "tower"),
        alone("voc2007", [1.0], "tower", "mean_average_precision"),
        alone("flickr30k", [0.25] * 10, "tower", "mean_recall"),
    )
    values = {name: metric.value for name, metric in found.metrics.items() if name.startswith("average")}
    assert values == pytest.approx(
        {"average": (50 + 100 + 25) / 3, "average/classification": 75, "average/retrieval": 25}
    )
    assert found.metrics["average"].n == 3
    assert (found.measured, found.headline, found.data.items) == ("zero-shot", "average", 15)
    assert [(item.id, item.outcome, item.details["metric"]) for item in found.items] == [
        ("mnist", 0.5, "acc1"),
        ("voc2007", 1.0, "mean_average_precision"),
        ("flickr30k", 0.25, "mean_recall"),
    ]


def test_what_is_missing_is_in_the_result() -> None:
    found = summary(alone("mnist", [1.0], "tower"))
    missing = [(each.name, each.reason) for each in found.missing]
    assert missing == [("pets", "absent"), ("dtd", "absent"), ("cars", "failed")]
    assert found.baseline is None


def test_a_baseline_brings_its_own_averages_and_the_margin() -> None:
    found = summary(pair("a", [1, 1, 1, 0], [1, 0, 0, 0]), pair("b", [0, 1, 0, 0], [1, 1, 0, 0]), margin=0.5)
    assert found.baseline is not None
    assert (found.subject.label, found.baseline.subject.label) == ("tower", "baseline")
    assert (found.metrics["average"].value, found.baseline.metrics["average"].value) == (50, 37.5)
    comparison = found.comparisons[0]
    assert (comparison.metric, comparison.difference) == ("average", 12.5)
    assert (comparison.wins, comparison.losses) == (1, 1)
    assert [each.margin for each in found.comparisons] == [0.5, None]
    assert found.metrics.keys() == found.baseline.metrics.keys()
    assert found.missing == found.baseline.missing


def test_the_test_of_an_average_draws_on_the_items_of_every_set() -> None:
    # one loss in each of five sets: five coins alike, 2 / 2**5; the intervals of single losses say less
    sets = [pair(f"set{number}", [0.0] + [1.0] * 59, [1.0] * 60) for number in range(5)]
    comparison = summary(*sets).comparisons[0]
    assert comparison.p_value == pytest.approx(1 / 16)
    assert (comparison.test, comparison.wins, comparison.losses) == ("sign-flip test", 0, 5)


def test_noise_in_towers_that_hardly_differ_is_seldom_called_a_change() -> None:
    # of 29 sets of 50 images six images flip, either way alike: an exact test errs in less than 5 %
    random, called = np.random.default_rng(0), 0
    for _ in range(40):
        outcomes = np.ones((29, 2, 50))
        for each, side, image in zip(
            random.integers(29, size=6), random.integers(2, size=6), random.integers(50, size=6), strict=True
        ):
            outcomes[each, side, image] = 0
        sets = (pair(f"set{number}", *each.tolist()) for number, each in enumerate(outcomes))
        called += summary(*sets).comparisons[0].p_value < 0.05
    assert called <= 5


def test_towers_that_agree_everywhere_differ_in_nothing() -> None:
    comparison = summary(pair("a", [1, 0, 1], [1, 0, 1])).comparisons[0]
    assert (comparison.difference, comparison.interval, comparison.p_value) == (0, (0, 0), 1)
