from typing import get_args

import pytest

from diva.evaluation import wording
from diva.results import Metric


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (25.925, "percent", "25.9 %"),
        (0.1234, "ratio", "0.123"),
        (135, "count", "135"),
        (98.34, "images/s", "98.3 images/s"),
        (1.5 * 2**30, "bytes", "1.50 GiB"),
        (-0.04, "score", "0.0"),
        (-3.25, "percent", "−3.2 %"),
    ],
)
def test_figures_have_the_digits_and_the_unit_of_their_kind(value: float, unit: str, expected: str) -> None:
    assert wording.figure(value, unit) == expected


@pytest.mark.parametrize(("value", "expected"), [(6.62, "+6.6"), (-0.71, "−0.7"), (-0.04, "−0.0"), (0, "+0.0")])
def test_differences_have_a_sign(value: float, expected: str) -> None:
    assert wording.signed(value, "percent") == expected


def test_p_values_are_never_written_as_zero() -> None:
    assert [wording.chance(p) for p in (1e-9, 0.001, 0.0314, 1)] == ["p < 0.001", "p = 0.001", "p = 0.031", "p = 1"]


@pytest.mark.parametrize(("seconds", "expected"), [(12.34, "12.3 s"), (600, "10 min"), (9000, "2.5 h")])
def test_times_are_written_in_a_unit_that_suits_them(seconds: float, expected: str) -> None:
    assert wording.duration(seconds) == expected


def test_every_unit_of_a_result_file_can_be_written() -> None:
    for unit in get_args(Metric.model_fields["unit"].annotation):
        assert wording.figure(1, unit)
