"""WiSE-FT averages, against double precision."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diva.errors import Invalid
from diva.exporting.average import average, read_shares

FLOATS = st.lists(st.floats(-1e3, 1e3, width=32), min_size=4, max_size=4)


@given(base=FLOATS, trained=FLOATS, alpha=st.floats(0, 1))
def test_an_average_lies_where_arithmetic_says(base: list[float], trained: list[float], alpha: float) -> None:
    states = ({"w": torch.tensor(base)}, {"w": torch.tensor(trained)})
    expected = (1 - alpha) * states[0]["w"].double() + alpha * states[1]["w"].double()
    torch.testing.assert_close(average(*states, alpha)["w"].double(), expected, atol=5e-4, rtol=1e-6)


@given(base=FLOATS, trained=FLOATS)
def test_the_two_ends_are_the_two_towers_exactly(base: list[float], trained: list[float]) -> None:
    states = ({"w": torch.tensor(base)}, {"w": torch.tensor(trained)})
    assert torch.equal(average(*states, 0)["w"], states[0]["w"])
    assert torch.equal(average(*states, 1)["w"], states[1]["w"])


def test_shares_are_read_one_or_several_at_a_time() -> None:
    assert read_shares("0.5") == [0.5]
    assert read_shares("0.25, 0.5,1") == [0.25, 0.5, 1.0]
    for text in ("half", "0.5,", ""):
        with pytest.raises(Invalid, match=f"--average: '{text}'"):
            read_shares(text)
