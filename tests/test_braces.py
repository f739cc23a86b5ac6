"""Braces as a shell reads them, and none that stand for more names than any data set has."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diva.braces import _count, expand_braces
from diva.errors import InputError, Invalid


def test_names_are_those_of_a_shell() -> None:
    assert expand_braces("a/{08..11}.{tar,TAR}") == [
        f"a/{number}.{suffix}" for number in ("08", "09", "10", "11") for suffix in ("tar", "TAR")
    ]


@pytest.mark.parametrize(
    "pattern",
    ["/tmp/{0..9999999999}.tar", "{0..9}" * 8, "{1.." + "9" * 5000 + "}", "{" + "{0..99}," * 4 + "a}{0..999}"],
)
def test_more_than_a_million_names_are_refused_at_once(pattern: str) -> None:
    with pytest.raises(Invalid, match="1,000,000"):
        expand_braces(pattern)


@given(st.text("{},.0129a", max_size=14))
def test_a_pattern_never_stands_for_more_names_than_were_counted(pattern: str) -> None:
    with suppress(InputError):
        assert 1 <= len(expand_braces(pattern)) <= _count(pattern)
