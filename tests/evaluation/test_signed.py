import pytest

from diva.evaluation.wording import signed_number


@pytest.mark.parametrize(
    ("value", "digits", "written"),
    [
        (0.0, 1, "+0.0"),
        (-0.0, 1, "+0.0"),
        (-1e-14, 1, "+0.0"),  # 0.1 + 0.2 - 0.3 and its like
        (-0.04, 1, "−0.0"),  # an interval that ends here leaves out 0
        (0.04, 1, "+0.0"),
        (-0.06, 1, "−0.1"),
        (-12.345, 2, "−12.35"),
        (float("inf"), 2, "+inf"),
    ],
)
def test_a_difference_shows_on_which_side_of_nothing_it_lies(value: float, digits: int, written: str) -> None:
    assert signed_number(value, digits) == written
