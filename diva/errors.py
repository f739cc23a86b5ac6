"""The two ways in which a command fails, each with one sentence for the user."""

import errno
from collections.abc import Iterable
from difflib import get_close_matches

MANY = 30  # names that a terminal still shows at a glance
NEAREST = 5  # of more than that


class InputError(ValueError):
    """The input cannot be used: the sentence names the file or field and the remedy (exit status 2)."""


class RunError(RuntimeError):
    """A run that had started could not go on: the sentence says where it stopped (exit status 1)."""


def is_full(error: BaseException) -> bool:
    """Tell whether something could not be written because the disk, or what a user may write to it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def printable(text: str) -> str:
    """Return `text` with every character that a terminal or a log would not show as itself written out.

    A file's name may hold line breaks, escape sequences, or bytes that are not UTF-8.
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def first_line(error: Exception) -> str:
    """Return the first line of what a library says is wrong, or the error's kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def install(extra: str) -> str:
    """Return the part of a sentence that says how to install an extra; there is no release of this package."""
    return f"pip install -e '.[{extra}]' -c constraints.txt, in a clone of diva"


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Return the end of a sentence that offers the nearest valid name, or where none is near, all of them.

    Of more than 30 valid names it offers the five that are least far. Where no valid name could be a path and
    `name` is one, it says that nothing lies there.
    """
    names = sorted(valid)
    if "/" in name and not any("/" in each for each in names):
        return "no such file or folder, so check the path"
    near = get_close_matches(name, names, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    if len(names) <= MANY:
        return f"valid: {', '.join(names)}"
    return f"the nearest of {len(names)} names: {', '.join(get_close_matches(name, names, n=NEAREST, cutoff=0))}"
