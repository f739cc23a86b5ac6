"""Questions with one right answer each, scored one by one and in units that are right if all their questions are.

A unit is what a benchmark takes together: a group of questions and pictures, or the questions about one figure. A
benchmark says where its questions lie, what they are, and how an answer is read; the rest is here.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from diva.errors import Damaged
from diva_downstream.llava.tasks.letters import read_letter
from diva_downstream.llava.tasks.mmbench import INSTRUCTIONS
from diva_downstream.llava.tasks.parquet import find_tables, picture_of
from diva_downstream.llava.tasks.pictures import picture_file
from diva_downstream.llava.tasks.source import IMAGE, Document

UNREAD = "unread"
LETTERS = "ABCDEFGHIJ"


class Grade(NamedTuple):
    """How one question was answered, with its unit, and the group whose units are averaged first."""

    group: str
    unit: str
    right: bool


@dataclass(frozen=True, kw_only=True)
class Graded:
    """A benchmark of such questions.

    Attributes:
        name: as results call it; lm-eval's has _ in the place of -.
        data: its name in result files.
        figures: names of the shares of right units, the headline first; every document has its unit of each.
        locate: data folder → the files of the questions.
        documents: those files → the questions, made by `document`.
        read: document, answer → what it says, as the document's `right` has it; None if that cannot be told.
        reading: how, for the protocol.
        totals: what lm-eval is given the grades of all figures for, to make a total of them.
    """

    name: str
    data: str
    figures: tuple[str, ...]
    locate: Callable[[str | Path | None], Sequence[Path]]
    documents: Callable[[Sequence[Path]], Iterable[Document]]
    read: Callable[[Document, str], str | None]
    reading: str
    totals: Sequence[str] = ()


def document(
    prompt: str,
    right: str,
    units: dict[str, str],
    *,
    file: Path,
    row: int = -1,
    columns: Sequence[str] = (),
    options: Sequence[str] = (),
    group: str = "all",
    about: str = "",
) -> Document:
    """Return a question.

    Args:
        units: figure → the unit that the question belongs to.
        file: its picture, or the table that holds it.
        row, columns: of the table, one column for each picture.
        options: texts of the options A, B, …
        group: of units that are averaged before the groups are.
        about: what a breakdown is made of.
    """
    return {
        "prompt": prompt,
        "right": right,
        "units": units,
        "file": str(file),
        "row": row,
        "columns": list(columns),
        "options": list(options),
        "group": group,
        "about": about,
    }


def read_option(question: Document, answer: str) -> str | None:
    """Return the letter of the option that `answer` names, if one can be told."""
    return read_letter(answer, dict(zip(LETTERS, question["options"], strict=False)))


def letter_in(answer: str, options: Sequence[str], where: str) -> str:
    """Return the right answer's letter, which the files write as "(A)" or "A".

    Raises:
        InputError: it is not that of an option.
    """
    letter = str(answer).strip("() .\n").upper()
    if len(letter) != 1 or letter not in LETTERS[: len(options)]:
        raise Damaged(where, "needs options and the letter of one as its answer; fetch the file again")
    return letter


def lettered(
    prompt: str, answer: str, options: Sequence[str], name: str, *, file: Path, row: int, **where: Any
) -> Document:
    """Return a question of a table's row that asks for the letter of an option.

    Args:
        answer: that letter, as the files write it.
        name: of its unit of the only figure.
        where: further arguments of `document`.

    Raises:
        InputError: the answer is not the letter of an option.
    """
    right = letter_in(answer, options, f"{file}: row {row}")
    units = {"accuracy": name}
    return document(f"{prompt}\n{INSTRUCTIONS['en']}", right, units, file=file, row=row, options=options, **where)


def of_letters(
    name: str, data: str, patterns: Sequence[str], documents: Callable[[Sequence[Path]], Iterable[Document]]
) -> Graded:
    """Return the benchmark of such questions whose tables lie at the first of `patterns` that has any."""
    return Graded(
        name=name,
        data=data,
        figures=("accuracy",),
        locate=lambda folder: find_tables(folder, patterns),
        documents=documents,
        read=read_option,
        reading="letters by rule",
    )


def doc_to_text(question: Document) -> str:
    """Return the prompt behind its pictures."""
    return IMAGE * max(1, len(question["columns"])) + str(question["prompt"])


def doc_to_image(question: Document) -> list[Image.Image]:
    """Return the pictures of a question."""
    if question["columns"]:
        return [picture_of(question["file"], question["row"], column) for column in question["columns"]]
    return [picture_file(question["file"])]


def units(given: Sequence[Grade]) -> dict[tuple[str, str], bool]:
    """Return whether each unit, by its group and its name, is right in all its questions."""
    found: dict[tuple[str, str], bool] = {}
    for group, unit, right in given:
        found[group, unit] = found.get((group, unit), True) and right
    return found


def share(given: Sequence[Grade]) -> float:
    """Return the mean over the groups of the share of right units; NaN without a question."""
    groups: dict[str, list[bool]] = {}
    for (group, _), right in units(given).items():
        groups.setdefault(group, []).append(right)
    means = [sum(each) / len(each) for each in groups.values()]
    return sum(means) / len(means) if means else math.nan
