"""POPE: is there such a thing in the picture? Asked of things that are there and of things that are not.

The negatives are drawn at random, from the most frequent things, or from those that most often come together with
what is there (adversarial). Answers are read by LLaVA's rule, which takes for "yes" whatever does not say "no".
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Dataset
from PIL import Image

from diva.documents import path_within
from diva.errors import Damaged
from diva_downstream.llava.tasks.llava_bench import read_lines
from diva_downstream.llava.tasks.pictures import picture_file
from diva_downstream.llava.tasks.source import IMAGE, Document, as_test_split, find, first_groups

NEGATIVES = ("random", "popular", "adversarial")
INSTRUCTION = "Answer the question using a single word or phrase."
IMAGES = ("pope/val2014", "coco/val2014", "val2014")
SAYS_NO = frozenset({"No", "not", "no"})
# of a `Counts`, or of columns of them: what is divided by what
RATIOS: dict[str, Callable[..., tuple[Any, Any]]] = {
    "f1": lambda true_yes, false_yes, _, false_no: (2 * true_yes, 2 * true_yes + false_yes + false_no),
    "precision": lambda true_yes, false_yes, *_: (true_yes, true_yes + false_yes),
    "recall": lambda true_yes, _, __, false_no: (true_yes, true_yes + false_no),
}


class Counts(NamedTuple):
    """Answers by what is said and what is there."""

    true_yes: int
    false_yes: int
    true_no: int
    false_no: int


def locate(data: str | Path | None, negatives: str) -> Path:
    """Return the questions' file with these negatives below the folder `data`.

    Raises:
        InputError: there is none.
    """
    name = f"coco_pope_{negatives}.json"
    return find(data, [f"pope/{name}", f"pope/coco/{name}"])


def documents(
    *, data: str | None = None, first: int | None = None, negatives: str, **_: object
) -> dict[str, Dataset]:
    """Return lm-eval's data set of the questions with these negatives below `data`, or of the `first` of them."""
    rows = read(locate(data, negatives), find(data, IMAGES))
    return as_test_split(first_groups(rows, lambda document: document["line"], first))


def read(path: Path, images: Path) -> list[Document]:
    """Read the official file, JSON lines despite its name; the pictures lie in the folder `images`.

    Raises:
        InputError: the file is missing or damaged, a label is neither yes nor no, or a picture lies elsewhere.
    """
    lines = read_lines(path, ("question_id", "image", "text", "label"))
    for line in lines:
        if line["label"] not in ("yes", "no"):
            where = f"{path}: question {line['question_id']}"
            raise Damaged(where, f"label '{line['label']}' is neither yes nor no; fetch the file again")
    return [
        {
            "line": number,
            "question_id": str(line["question_id"]),
            "question": line["text"],
            "label": line["label"],
            "file": str(path_within(images, line["image"], f"{path}: question {line['question_id']}")),
        }
        for number, line in enumerate(lines, 1)
    ]


def doc_to_text(document: Document) -> str:
    """Return the question with LLaVA's instruction for short answers."""
    return f"{IMAGE}{document['question']}\n{INSTRUCTION}"


def doc_to_image(document: Document) -> list[Image.Image]:
    """Return the document's picture."""
    return [picture_file(document["file"])]


def says_yes(answer: str) -> bool:
    """Return whether `answer` counts as yes by LLaVA's rule.

    Of the first sentence, commas dropped, a word that is "No", "no" or "not" makes it a no; anything else is a yes.
    """
    return SAYS_NO.isdisjoint(answer.strip().split(".")[0].replace(",", "").split(" "))


def is_unread(answer: str) -> bool:
    """Return whether `answer` is a yes by default: its first sentence says neither yes nor no."""
    return says_yes(answer) and "yes" not in answer.split(".")[0].casefold()


def process_results(document: Document, answers: Sequence[str]) -> dict[str, object]:
    """Return what lm-eval aggregates: the answer and the truth, and the simple shares."""
    said, there = says_yes(answers[0]), document["label"] == "yes"
    return {
        "accuracy": float(said == there),
        "f1": (said, there),
        "precision": (said, there),
        "recall": (said, there),
        "yes_share": float(said),
        "unread": float(is_unread(answers[0])),
    }


def count(answers: Sequence[tuple[bool, bool]]) -> Counts:
    """Return how often each of (said, there) occurs."""
    return Counts(*(answers.count(both) for both in ((True, True), (True, False), (False, False), (False, True))))


def precision(answers: Sequence[tuple[bool, bool]]) -> float:
    """Return the share of the yeses that are right; NaN without a yes."""
    return _ratio("precision", answers)


def recall(answers: Sequence[tuple[bool, bool]]) -> float:
    """Return the share of what is there that is said to be there; NaN where nothing is."""
    return _ratio("recall", answers)


def f1(answers: Sequence[tuple[bool, bool]]) -> float:
    """Return the harmonic mean of precision and recall; NaN where nothing is there or said to be."""
    return _ratio("f1", answers)


def _ratio(name: str, answers: Sequence[tuple[bool, bool]]) -> float:
    part, whole = RATIOS[name](*count(answers))
    return part / whole if whole else math.nan
