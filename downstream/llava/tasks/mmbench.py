"""MMBench: multiple choice, asked once (single pass) and in every rotation of the options (CircularEval).

Rows whose `index` agrees modulo a million are rotations of one question. By CircularEval a question is right if
every rotation is answered right. Single-pass accuracy is over the rows as they were written, `index` below a
million.
"""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas
from datasets import Dataset
from PIL import Image

from diva.errors import Damaged, Missing
from diva_downstream.llava.tasks.letters import read_letter
from diva_downstream.llava.tasks.pictures import is_index, picture_of_row, read_table
from diva_downstream.llava.tasks.source import IMAGE, Document, as_test_split, find, first_groups

LETTERS = "ABCD"
# what pandas, by which LLaVA's evaluation reads the table, takes for an empty cell
NOTHING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A"),
    *("NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
CIRCULAR = 1_000_000
REQUIRED = ("index", "question", "A", "B", "category", "image")
OPTIONAL = ("hint", "C", "D", "answer", "l2-category")
# LLaVA's evaluation guide, OpenCompass and VLMEvalKit call the same files by these names
FILES = {
    ("en", "dev"): ("mmbench_dev_en_20231003", "mmbench_dev_20230712", "MMBench_DEV_EN", "MMBench_DEV_EN_V11"),
    ("cn", "dev"): ("mmbench_dev_cn_20231003", "MMBench_DEV_CN", "MMBench_DEV_CN_V11"),
    ("en", "test"): ("mmbench_test_en_20231003", "mmbench_test_20230712", "MMBench_TEST_EN", "MMBench_TEST_EN_V11"),
    ("cn", "test"): ("mmbench_test_cn_20231003", "MMBench_TEST_CN", "MMBench_TEST_CN_V11"),
}
INSTRUCTIONS = {
    "en": "Answer with the option's letter from the given choices directly.",
    "cn": "请直接回答选项字母。",
}

log = logging.getLogger(__name__)


class Rotation(NamedTuple):
    """How one rotation of a question was answered; `rotations` is how many of it there are in the file."""

    question: int
    rotations: int
    as_written: bool
    right: bool


def locate(data: str | Path | None, language: str, split: str) -> Path:
    """Return the TSV of a language and a split below the folder `data`.

    Raises:
        InputError: there is none.
    """
    folders = ("mmbench", "mmbench_cn", "MMBench") if language == "cn" else ("mmbench", "MMBench")
    return find(data, [f"{folder}/{name}.tsv" for folder in folders for name in FILES[language, split]])


def documents(
    *, data: str | None = None, first: int | None = None, language: str, split: str, **_: object
) -> dict[str, Dataset]:
    """Return lm-eval's data set of one TSV below `data`, or of its `first` questions with all their rotations."""
    rows = read(locate(data, language, split), language=language, labelled=split == "dev")
    return as_test_split(first_groups(rows, lambda row: row["group"], first))


def read(path: Path, *, language: str, labelled: bool) -> list[Document]:
    """Read a TSV in the official format; pictures stay where they are.

    An option that is empty, or that pandas reads as nothing (`NOTHING`), is not offered, as in LLaVA's evaluation;
    it stays in the document as it stands in the file.

    Raises:
        InputError: the file or a column is missing, or a row has no question, fewer than two options, or no right
            answer though it should.
    """
    table = read_table(str(path))
    missing = [name for name in (*REQUIRED, *(["answer"] if labelled else [])) if name not in table]
    if missing:
        raise Missing(path, f"no column {' or '.join(missing)}; give MMBench's TSV, with its header")
    cells = table.drop(columns="image").reindex(columns=[*REQUIRED[:-1], *OPTIONAL], fill_value="").fillna("")
    rows = [_document(path, row, language=language, labelled=labelled) for row in cells.to_dict("records")]
    if not rows:
        raise Damaged(path, "holds no question; fetch the file again")
    counted = pandas.Series([row["group"] for row in rows]).value_counts()
    return [row | {"rotations": int(counted[row["group"]])} for row in rows]


def options_of(document: Document) -> dict[str, str]:
    """Return the options that `document` offers, by letter."""
    return {letter: document[letter] for letter in LETTERS if not _is_nothing(document[letter])}


def doc_to_text(document: Document) -> str:
    """Return LLaVA's prompt: hint, question, options and the instruction, a line each."""
    options = [f"{letter}. {text}" for letter, text in options_of(document).items()]
    lines = [*([] if _is_nothing(document["hint"]) else [document["hint"]]), document["question"], *options]
    return IMAGE + "\n".join([*lines, INSTRUCTIONS[document["language"]]])


def doc_to_image(document: Document) -> list[Image.Image]:
    """Return the document's picture."""
    return [picture_of_row(document["file"], document["index"])]


def process_results(document: Document, answers: Sequence[str]) -> dict[str, object]:
    """Return what lm-eval aggregates: the rotation, and whether a letter could be read at all."""
    letter = read_letter(answers[0], options_of(document))
    unread = float(letter is None)
    if not document["answer"]:
        return {"unread": unread}
    rotation = rotation_of(document, letter)
    return {"circular": rotation, "single_pass": rotation, "unread": unread}


def rotation_of(document: Document, letter: str | None) -> Rotation:
    """Return how the rotation `document` was answered by `letter`."""
    return Rotation(
        question=document["group"],
        rotations=document["rotations"],
        as_written=document["index"] < CIRCULAR,
        right=letter == document["answer"],
    )


def circular_outcomes(rotations: Sequence[Rotation]) -> dict[int, bool]:
    """Return whether each question is right in every rotation; a question that lacks one is left out."""
    groups: dict[int, list[Rotation]] = {}
    for rotation in rotations:
        groups.setdefault(rotation.question, []).append(rotation)
    return {
        question: all(rotation.right for rotation in group)
        for question, group in groups.items()
        if len(group) == group[0].rotations
    }


def circular(rotations: Sequence[Rotation]) -> float:
    """Return CircularEval's accuracy over the questions that were asked in all their rotations; NaN without one."""
    outcomes = circular_outcomes(rotations)
    cut = len({rotation.question for rotation in rotations}) - len(outcomes)
    if cut:
        log.warning("MMBench: %d of the questions lack rotations (--limit) and are left out of circular", cut)
    return _mean(list(outcomes.values()))


def single_pass(rotations: Sequence[Rotation]) -> float:
    """Return the accuracy over the questions as they were written."""
    return _mean([rotation.right for rotation in rotations if rotation.as_written])


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else math.nan


def _is_nothing(cell: str) -> bool:
    return cell in NOTHING or cell.casefold() in ("nan", "none")


def _document(path: Path, row: Document, *, language: str, labelled: bool) -> Document:
    if not is_index(row["index"]):
        raise Damaged(path, f"index '{str(row['index'])[:40]}'", "is not a whole number; fetch the file again")
    index = int(row["index"])
    texts = {letter: row[letter] for letter in LETTERS}
    offered = list(options_of(texts))
    answer = row["answer"].strip() if labelled else ""
    if not row["question"] or len(offered) < 2 or (labelled and answer not in offered):
        raise Damaged(
            path,
            f"row {index}",
            "needs a question, two options or more, and one of them as its answer; fetch the file again",
        )
    return {
        "index": index,
        "question_id": str(index),
        "group": index % CIRCULAR,
        "question": row["question"],
        "hint": row["hint"],
        **texts,
        "answer": answer,
        "category": row["category"],
        "l2_category": row["l2-category"],
        "language": language,
        "file": str(path),
    }
