"""Patterns such as `cc3m/{00000..00331}.tar`, each of which stands for many names."""

import glob
import math
import os
import re
from typing import Final

from braceexpand import braceexpand

from diva.errors import Invalid

MOST: Final = 1_000_000  # names of a pattern
_INNERMOST = re.compile(r"\{[^{}]*\}")
_RANGE = re.compile(r"\{(-?\d+)\.\.(-?\d+)(\.\..*)?\}")
_DIGITS = 12  # of an end of a range that is looked at


def expand_braces(pattern: str) -> list[str]:
    """Return the names that `pattern` stands for, as a shell would.

    Raises:
        InputError: its braces do not match, or it stands for more than a million names.
    """
    if _count(pattern) > MOST:
        raise Invalid(pattern, f"stands for more than {MOST:,} names; give a shorter range")
    try:
        return list(braceexpand(pattern))
    except ValueError as error:
        raise Invalid(pattern, f"is not a pattern ({error}); close its braces") from error


def missing_files(pattern: str) -> list[str]:
    """Return the names that nothing matches, of a file, a folder or a pattern such as `cc3m/{00000..00331}.tar`.

    Raises:
        InputError: as `expand_braces` does.
    """
    return [each for each in expand_braces(pattern) if not _is_there(each)]


def _is_there(name: str) -> bool:
    return bool(glob.glob(name, recursive=True)) if glob.has_magic(name) else os.path.lexists(name)


def _count(pattern: str) -> float:
    """Return how many names there are at most: the product over all braces, from within outwards."""
    count = 1.0
    while groups := _INNERMOST.findall(pattern):
        count *= math.prod(map(_size, groups))
        pattern = _INNERMOST.sub("", pattern)
    return count


def _size(group: str) -> float:
    ends = _RANGE.fullmatch(group)
    if ends is None:
        return group.count(",") + 1
    first, last = ends[1], ends[2]
    return math.inf if max(len(first), len(last)) > _DIGITS else abs(int(last) - int(first)) + 1
