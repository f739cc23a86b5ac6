"""RealWorldQA: pictures from cars and elsewhere; the question has options, or asks for a word or a number.

A word is right if it is the answer but for case, a full stop and a number written out, as lmms-eval has it.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from diva_downstream.llava.tasks.graded import Graded, document, letter_in, read_option
from diva_downstream.llava.tasks.parquet import find_tables, read_rows
from diva_downstream.llava.tasks.source import Document

COLUMNS = ("question", "answer")
OPTION = re.compile(r"^[A-Z]\. (.+)$", re.MULTILINE)
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def _documents(paths: Sequence[Path]) -> Iterator[Document]:
    for number, (file, row, content) in enumerate(read_rows(paths, COLUMNS)):
        options = OPTION.findall(content["question"])
        where = f"{file}: row {row}"
        yield document(
            content["question"],  # which says how to answer
            letter_in(content["answer"], options, where) if options else _word(content["answer"]),
            {"accuracy": str(number)},
            file=file,
            row=row,
            columns=["image"],
            options=options,
        )


def _read(question: Document, answer: str) -> str | None:
    return read_option(question, answer) if question["options"] else _word(answer) or None


def _word(text: str) -> str:
    word = text.strip().rstrip(".").strip().casefold()
    return str(NUMBERS.index(word)) if word in NUMBERS else word


BENCHMARK = Graded(
    name="realworldqa",
    data="RealWorldQA",
    figures=("accuracy",),
    locate=lambda data: find_tables(
        data, ("RealWorldQA/data/test-*.parquet", "RealworldQA/data/test-*.parquet", "RealWorldQA/*.parquet")
    ),
    documents=_documents,
    read=_read,
    reading="letters by rule, else the word",
)
