"""`${field}` in recipes, against OmegaConf's documented rules worked out by hand."""

import time
from contextlib import suppress
from typing import Any

import pytest

from diva.errors import InputError
from diva.recipes.interpolate import interpolate


def test_a_field_stands_for_the_value_of_another_from_the_top_or_from_where_it_stands() -> None:
    document = {
        "tower": {"name": "clip", "checkpoint": None, "share": 0.5},
        "list": [{"steps": 3}, "${list.0.steps}", "${.1}"],
        "data": {
            "one": {"path": "${tower.checkpoint}", "source": "get ${.path} for ${tower.name}"},
            "a-b.c": "x",
            "two": {"path": "${..one.source}!", "share": "${tower.share}", "list": ["${...two.share}"]},
        },
    }
    resolved = interpolate(document)
    assert resolved["list"] == [{"steps": 3}, 3, 3]
    assert resolved["data"]["one"] == {"path": None, "source": "get None for clip"}
    assert resolved["data"]["two"] == {"path": "get None for clip!", "share": 0.5, "list": [0.5]}
    assert document["list"][1] == "${list.0.steps}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("${nowhere}", r"a: \$\{nowhere\}: there is no field 'nowhere'"),
        ("${list.2}", "there is no field 'list.2'"),
        ("${list}", "is a section"),
        ("${a}", "a: its .* references are circular"),
        ("x${b}", "references are circular"),
        ("${oc.env:HOME}", "only the name of another field"),
        ("${a.${b}}", "only the name of another field|no field|circular"),
        ("${", "only the name of another field"),
        ("${ b }", "only the name of another field"),
        ("$${brace}", "only the name of another field"),
        ("\\${brace}", None),
    ],
)
def test_what_is_not_a_field_with_a_value_is_refused_by_its_field(text: str, says: str | None) -> None:
    document = {"a": text, "b": "${a}", "list": [1, 2], "brace": "{list}"}
    if says is None:  # a backslash means nothing: no text can keep a ${…} to be read the next time
        assert interpolate(document | {"b": 1})["a"] == "\\{list}"
        return
    with pytest.raises(InputError, match=says):
        interpolate(document)


@pytest.mark.parametrize(
    "document",
    [
        {str(level): f"${{{level + 1}}}" * 10 for level in range(60)} | {"60": "x"},
        {str(level): f"${{{level + 1}}}" * 60 for level in range(60)} | {"60": ""},
        {str(level): f"${{{level + 1}}}" for level in range(100_000)} | {"100000": 1},
        {"a": "${b}" * 100_000, "b": "x" * 100_000},
        {"a": "${" * 500_000},
    ],
)
def test_fields_that_multiply_each_other_are_refused_or_done_at_once(document: Any) -> None:
    began = time.process_time()
    with suppress(InputError):
        interpolate(document)
    assert time.process_time() - began < 5
