import pytest

from diva.errors import Invalid
from diva.evaluation.comparison import preservation
from diva.evaluation.judgement import LEAST_ITEMS, LEAST_SETS, Judgement, check_margin, judge, judge_preservation
from diva.results import Comparison
from tests.benchmarks.report.examples import AFTER, zero_shot_summary


def comparison(difference: float, interval: tuple[float, float] | None, margin: float) -> Comparison:
    return Comparison(
        metric="average",
        difference=difference,
        interval=interval,
        test="sign-flip test",
        p_value=1,
        wins=0,
        losses=0,
        margin=margin,
    )


@pytest.mark.parametrize(
    ("interval", "margin", "expected"),
    [
        ((-0.7, 0.1), 1.0, Judgement.PRESERVED),
        ((-0.99, -0.5), 1.0, Judgement.PRESERVED),  # worse, but within what was allowed
        ((2.0, 3.0), 1.0, Judgement.PRESERVED),
        ((-1.0, 0.5), 1.0, Judgement.UNDECIDED),
        ((-4.0, 4.0), 1.0, Judgement.UNDECIDED),
        ((-4.0, -1.0), 1.0, Judgement.UNDECIDED),
        ((-4.0, -1.01), 1.0, Judgement.NOT_PRESERVED),
        ((-4.0, -1.01), 5.0, Judgement.PRESERVED),
        ((-0.2, -0.1), 0.0, Judgement.NOT_PRESERVED),
        (None, 1.0, Judgement.UNDECIDED),
    ],
)
def test_the_whole_interval_must_lie_on_one_side_of_the_margin(
    interval: tuple[float, float] | None, margin: float, expected: Judgement
) -> None:
    assert judge_preservation(interval, margin, sets=LEAST_SETS, items=LEAST_ITEMS) is expected


@pytest.mark.parametrize(("sets", "items"), [(1, 5), (1, 50_000), (29, LEAST_ITEMS - 1)])
def test_too_little_data_decide_nothing(sets: int, items: int) -> None:
    for interval in ((0.0, 0.0), (-9.0, -8.0)):
        assert judge_preservation(interval, 1.0, sets=sets, items=items) is Judgement.UNDECIDED


def test_the_sentence_gives_the_reason() -> None:
    def preservation_of(compared: Comparison, items: int = 1200) -> str:
        result = zero_shot_summary(AFTER, 74)
        result.data.items = items
        return preservation(result, compared)

    assert preservation_of(comparison(-0.3, (-0.704, 0.1), 1)) == (
        "preserved: the difference of −0.30 points, 95 % interval −0.70 to +0.10, lies above the margin of −1.00"
    )
    assert preservation_of(comparison(-3, (-4, -2), 0)).startswith("not preserved: the difference of −3.00 points")
    assert preservation_of(comparison(-1, (-4, 2), 1)).endswith("does not decide on the margin of −1.00")
    too_few = preservation_of(comparison(0, (0, 0), 1), 5)
    assert too_few == "undecided: 2 sets with 5 items cannot decide this; it takes 2 sets with 500"


@pytest.mark.parametrize("margin", [-0.1, 100, float("nan"), float("inf")])
def test_a_margin_must_be_a_loss_in_points(margin: float) -> None:
    with pytest.raises(Invalid, match="--margin:"):
        check_margin(margin)


@pytest.mark.parametrize(
    ("interval", "p_value", "judgement"),
    [
        ((0.5, 8.0), 0.01, "better"),
        ((-8.0, -0.5), 0.01, "worse"),
        ((0.5, 8.0), 0.05, "no change shown"),  # the test does not agree
        ((0.0, 8.0), 0.01, "no change shown"),  # the interval holds 0
        ((-1.0, 8.0), 0.01, "no change shown"),
        (None, 0.01, "untested"),
        ((0.5, 8.0), None, "untested"),
    ],
)
def test_a_change_counts_only_if_interval_and_test_agree(
    interval: tuple[float, float] | None, p_value: float | None, judgement: str
) -> None:
    assert judge(interval, p_value) == judgement


def test_less_is_better_where_the_metric_says_so() -> None:
    assert judge((0.5, 8.0), 0.01, higher_is_better=False) == "worse"
    assert judge((-8.0, -0.5), 0.01, higher_is_better=False) == "better"
