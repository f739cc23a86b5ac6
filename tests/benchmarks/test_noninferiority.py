import pytest

from diva.errors import InputError
from diva.results import Comparison
from diva_benchmarks.noninferiority import Preservation, check_margin, judge, sentence


def comparison(difference: float, interval: tuple[float, float] | None) -> Comparison:
    return Comparison(
        metric="average",
        difference=difference,
        interval=interval,
        test="sign-flip test",
        p_value=1,
        wins=0,
        losses=0,
    )


@pytest.mark.parametrize(
    ("interval", "margin", "expected"),
    [
        ((-0.7, 0.1), 1.0, Preservation.PRESERVED),
        ((-0.99, -0.5), 1.0, Preservation.PRESERVED),  # worse, but within what was allowed
        ((2.0, 3.0), 1.0, Preservation.PRESERVED),
        ((-1.0, 0.5), 1.0, Preservation.UNDECIDED),
        ((-4.0, 4.0), 1.0, Preservation.UNDECIDED),
        ((-4.0, -1.0), 1.0, Preservation.UNDECIDED),
        ((-4.0, -1.01), 1.0, Preservation.NOT_PRESERVED),
        ((-4.0, -1.01), 5.0, Preservation.PRESERVED),
        ((-0.2, -0.1), 0.0, Preservation.NOT_PRESERVED),
        (None, 1.0, Preservation.UNDECIDED),
    ],
)
def test_the_whole_interval_must_lie_on_one_side_of_the_margin(
    interval: tuple[float, float] | None, margin: float, expected: Preservation
) -> None:
    assert judge(interval, margin) is expected


def test_the_sentence_gives_the_reason() -> None:
    assert sentence(comparison(-0.3, (-0.704, 0.1)), 1) == (
        "preserved: the difference of −0.30 points, 95 % interval −0.70 to +0.10, lies above the margin of −1.00"
    )
    assert sentence(comparison(-3, (-4, -2)), 0).startswith("not preserved: the difference of −3.00 points")
    assert sentence(comparison(-1, (-4, 2)), 1).endswith("does not decide on the margin of −1.00")


@pytest.mark.parametrize("margin", [-0.1, 100, float("nan"), float("inf")])
def test_a_margin_must_be_a_loss_in_points(margin: float) -> None:
    with pytest.raises(InputError, match=r"--margin: .* is no loss in percentage points"):
        check_margin(margin)
