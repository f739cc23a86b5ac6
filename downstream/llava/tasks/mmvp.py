"""MMVP: 150 pairs of pictures that CLIP takes for alike, one question a pair, right if both pictures are.

Two versions of the labels are about: in the published file the answers of the pictures 99 and 100, and those of 279
and 280, are exchanged, which lmms-eval mends. The file's own labels are used, and it is said which they are.
"""

import csv
import io
import logging
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from datasets import Dataset
from PIL import Image

from diva.documents import read_file
from diva.errors import Damaged, Invalid
from diva_downstream.llava.tasks.letters import read_letter
from diva_downstream.llava.tasks.mmbench import INSTRUCTIONS
from diva_downstream.llava.tasks.pictures import picture_file
from diva_downstream.llava.tasks.source import IMAGE, Document, as_test_split, find, first_groups

FOLDERS = ("MMVP", "mmvp", "mmvp_vqa")
QUESTIONS = "Questions.csv"
IMAGES = ("MMVP Images", "MMVP_Images")
COLUMNS = ("Question", "Options", "Correct Answer")
DISPUTED = (99, 100, 279, 280)
LABELS = {"ABAB": "published", "BABA": "corrected"}

log = logging.getLogger(__name__)


class Half(NamedTuple):
    """How one picture of a pair was answered."""

    pair: int
    right: bool


def locate(data: str | Path | None) -> Path:
    """Return the benchmark's folder below the folder `data`.

    Raises:
        InputError: there is none.
    """
    return find(data, FOLDERS)


def documents(*, data: str | None = None, first: int | None = None, **_: object) -> dict[str, Dataset]:
    """Return lm-eval's data set of the folder below `data`, or of its `first` pairs."""
    return as_test_split(first_groups(read(locate(data)), lambda document: document["pair"], first))


def read(folder: Path) -> list[Document]:
    """Read the official files: a row is the picture of its number, and two rows are a pair.

    Raises:
        InputError: the file or a column is missing, the rows form no pairs, a row offers no options or has another
            answer, or the pictures' folder is missing.
    """
    path = folder / QUESTIONS
    try:
        rows = list(csv.DictReader(io.StringIO(read_file(path).decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Damaged(path, f"cannot be read ({error}); give MMVP's folder, see docs/llava.md") from error
    missing = [name for name in COLUMNS if not rows or name not in rows[0]]
    if missing or len(rows) % 2:
        what = f"no column {' or '.join(missing)}" if missing else f"{len(rows)} rows form no pairs"
        raise Invalid(path, f"{what}; give the official file of MMVP (VQA), not that of MMVP-VLM")
    images = find(folder, IMAGES)
    return [_document(path, images, number, row) for number, row in enumerate(rows, 1)]


def labels_version(rows: Sequence[Document]) -> str:
    """Return which labels these are: "published", "corrected", or "own" where they are neither."""
    answers = {row["number"]: row["answer"] for row in rows}
    return LABELS.get("".join(answers.get(number, "") for number in DISPUTED), "own")


def options_of(document: Document) -> dict[str, str]:
    """Return the options that `document` offers, by capital letter."""
    found = re.findall(r"\(([a-z])\)\s*(.*?)\s*(?=\([a-z]\)|$)", document["options"], re.IGNORECASE | re.DOTALL)
    return {letter.upper(): text for letter, text in found}


def doc_to_text(document: Document) -> str:
    """Return MMVP's prompt, question and options in one line, with LLaVA's instruction for multiple choice."""
    return f"{IMAGE}{document['question']} {document['options']}\n{INSTRUCTIONS['en']}"


def doc_to_image(document: Document) -> list[Image.Image]:
    """Return the document's picture."""
    return [picture_file(document["file"])]


def process_results(document: Document, answers: Sequence[str]) -> dict[str, object]:
    """Return what lm-eval aggregates: half a pair, the question by itself, and whether a letter could be read."""
    letter = read_letter(answers[0], options_of(document))
    right = letter == document["answer"]
    return {"pairs": Half(document["pair"], right), "questions": float(right), "unread": float(letter is None)}


def pair_outcomes(halves: Sequence[Half]) -> dict[int, bool]:
    """Return whether both pictures of each pair are right; a pair that lacks one is left out."""
    pairs: dict[int, list[bool]] = {}
    for half in halves:
        pairs.setdefault(half.pair, []).append(half.right)
    return {pair: all(both) for pair, both in pairs.items() if len(both) == 2}


def pairs(halves: Sequence[Half]) -> float:
    """Return the share of complete pairs that are right; NaN without one."""
    outcomes = pair_outcomes(halves)
    cut = len({half.pair for half in halves}) - len(outcomes)
    if cut:
        log.warning("MMVP: %d pair lacks a picture (--limit) and is left out of pairs", cut)
    return sum(outcomes.values()) / len(outcomes) if outcomes else math.nan


def _document(path: Path, images: Path, number: int, row: dict[str, str | None]) -> Document:
    question, options, answer = ((row[name] or "").strip() for name in COLUMNS)
    document = {
        "number": number,
        "pair": (number + 1) // 2,
        "question": question,
        "options": options,
        "answer": answer.strip("() ").upper(),
        "file": str(images / f"{number}.jpg"),
    }
    if not question or len(options_of(document)) < 2 or document["answer"] not in options_of(document):
        raise Damaged(
            path,
            f"picture {number}",
            "needs a question, options '(a) … (b) …' and one of them as its answer; fetch the file again",
        )
    return document
