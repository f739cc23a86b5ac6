"""The two ways in which a command fails, each with one sentence for the user."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """The input cannot be used: the sentence names the file or field and the remedy (exit status 2)."""


class RunError(RuntimeError):
    """A run that had started could not go on: the sentence says where it stopped (exit status 1)."""


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Return the end of a sentence that offers the nearest valid names, or all of them where none is near."""
    names = sorted(valid)
    near = get_close_matches(name, names, n=1)
    return f"did you mean '{near[0]}'?" if near else f"valid: {', '.join(names)}"
