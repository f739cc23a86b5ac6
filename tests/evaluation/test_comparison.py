from collections.abc import Sequence

import pytest

from diva.errors import Changed
from diva.evaluation.comparison import compare, verdict
from diva.results import Clock, Comparison, DataSource, Item, Metric, Result, Subject


def result(outcomes: Sequence[float], label: str = "tower", **changes: object) -> Result:
    fields: dict[str, object] = {
        "task": "mmvp-vlm",
        "headline": "average",
        "settings": {"protocol": "pooled"},
        "subject": Subject(label=label, source=label, architecture="ViT-L-14", sha256="0" * 64),
        "data": DataSource(name="MMVP-VLM", path="data", fingerprint="1" * 64, items=len(outcomes)),
        "metrics": {"average": Metric(value=0, unit="percent", n=len(outcomes))},
        "items": [
            Item(id=str(index), group="ab"[index % 2], outcome=outcome) for index, outcome in enumerate(outcomes)
        ],
        "run": Clock([], "cpu").stop(),
    }
    return Result.model_validate(fields | changes)


def comparison(difference: float, interval: tuple[float, float] | None, p_value: float) -> Comparison:
    return Comparison(
        metric="average",
        difference=difference,
        interval=interval,
        test="exact McNemar",
        p_value=p_value,
        wins=11,
        losses=7,
    )


def test_items_are_matched_by_id_and_groups_weigh_the_same() -> None:
    ours = result([1, 1, 1, 0, 1])  # group a: items 0, 2, 4; group b: items 1, 3
    theirs = result([0, 1, 0, 1, 1], "baseline")
    theirs.items.reverse()
    found = compare(ours, theirs, "average")
    assert found.difference == pytest.approx(100 * (2 / 3 - 1 / 2) / 2)
    assert (found.wins, found.losses, found.test) == (2, 1, "sign-flip test")
    assert found.interval is not None
    assert found.interval[0] < found.difference < found.interval[1]


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("task", {"task": "zero-shot"}),
        ("settings", {"settings": {"protocol": "diva-openai"}}),
        ("data.fingerprint", {"data": DataSource(name="MMVP-VLM", path="data", fingerprint="2" * 64, items=2)}),
        ("items", {"items": [Item(id="0", group="a", outcome=1)]}),
    ],
)
def test_results_of_different_measurements_are_not_compared(field: str, changes: dict[str, object]) -> None:
    with pytest.raises(Changed, match=f"^{field}: .*'tower'.*'baseline'"):
        compare(result([1, 0]), result([1, 0], "baseline", **changes), "average")


@pytest.mark.parametrize(
    ("difference", "interval", "p_value", "sentence"),
    [
        (
            2.96,
            (-2.22, 8.12),
            0.4807,
            "difference +3.0 points, 95 % interval −2.2 to +8.1: no change shown"
            " (11 won, 7 lost, exact McNemar p = 0.48)",
        ),
        (
            9.0,
            (3.0, 15.0),
            0.0004,
            "difference +9.0 points, 95 % interval +3.0 to +15.0: better (11 won, 7 lost, exact McNemar p < 0.001)",
        ),
        (
            -9.0,
            (-15.0, -3.0),
            0.004,
            "difference −9.0 points, 95 % interval −15.0 to −3.0: worse (11 won, 7 lost, exact McNemar p = 0.004)",
        ),
        (
            5.0,
            (0.5, 9.5),
            0.06,
            "difference +5.0 points, 95 % interval +0.5 to +9.5: no change shown"
            " (11 won, 7 lost, exact McNemar p = 0.06)",
        ),
        (
            5.0,
            None,
            0.01,
            "difference +5.0 points: untested (11 won, 7 lost, exact McNemar p = 0.01)",
        ),
    ],
)
def test_the_verdict_calls_a_change_only_what_interval_and_test_agree_on(
    difference: float, interval: tuple[float, float] | None, p_value: float, sentence: str
) -> None:
    assert verdict(comparison(difference, interval, p_value)) == sentence
