"""Reading the chosen option off a free answer, by rule.

MMBench's own order is one unambiguous letter, then one option's text, then a language model's judgement and, that
failing, a random option. Here an answer that no rule can read counts as wrong, and how many there are is reported.
"""

import re
from collections.abc import Mapping

LONGEST_WITH_BARE_A = 3  # words; in a longer answer a capital A on its own is taken for the article
# an A that stands beside another letter, as in "both A and B": it is not the article
COUPLED_A = re.compile(r"\bA\s+(?:and|or|nor|but|vs\.?)\b|\bA\s*[&/,]|\b(?:and|or|nor|but|vs\.?)\s+A\b|[&/,]\s*A\b")
EDGES = " \t\n\"'`*.,:;!()[]（）。：，"


def read_letter(answer: str, options: Mapping[str, str]) -> str | None:
    """Return the key in `options` that `answer` chooses; None where no rule can read it.

    Args:
        options: capital letter → text, only those that the question has.
    """
    answer = answer.strip()
    bare = answer.strip(EDGES)
    if bare.upper() in options:
        return bare.upper()
    letters = _letters(answer) & options.keys()
    if letters == {"A"} or (len(letters) == 1 and not ("A" in options and COUPLED_A.search(answer))):
        return letters.pop()
    exact = [letter for letter, text in options.items() if _folded(text) == _folded(bare)]
    named = exact or [letter for letter, text in options.items() if _names(answer, text)]
    return named[0] if len(named) == 1 else None


def _letters(answer: str) -> set[str]:
    """Return the letters that stand alone: in brackets in either case, else as a capital."""
    bracketed = {letter.upper() for letter in re.findall(r"[(\[（]([A-Za-z])[)\]）]", answer)}
    capitals = re.findall(r"(?<![A-Za-z0-9'’])([A-Z])(?![A-Za-z0-9'’])(\s*)", answer)
    article = len(answer.split()) > LONGEST_WITH_BARE_A
    return bracketed | {letter for letter, gap in capitals if not (letter == "A" and gap and article)}


def _names(answer: str, text: str) -> bool:
    option = _folded(text)
    return bool(option) and bool(re.search(rf"(?<![a-z0-9]){re.escape(option)}(?![a-z0-9])", _folded(answer)))


def _folded(text: str) -> str:
    return " ".join(text.strip(EDGES).casefold().split())
