"""MMStar: questions that cannot be answered without the picture, of six abilities with 250 questions each."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from diva_downstream.llava.tasks.graded import Graded, document, letter_in, read_option
from diva_downstream.llava.tasks.mmbench import INSTRUCTIONS
from diva_downstream.llava.tasks.parquet import find_tables, read_rows
from diva_downstream.llava.tasks.source import Document

COLUMNS = ("index", "question", "answer", "category")
OPTION = re.compile(r"\b([A-D]): (.*?)(?=,? ?\b[B-D]: |\Z)", re.DOTALL)  # behind "Options:" in the question itself


def _documents(paths: Sequence[Path]) -> Iterator[Document]:
    for file, number, row in read_rows(paths, COLUMNS):
        options = [text.strip() for _, text in OPTION.findall(row["question"].rpartition("Options:")[2])]
        yield document(
            f"{row['question']}\n{INSTRUCTIONS['en']}",
            letter_in(row["answer"], options, f"{file}: row {number}"),
            {"accuracy": str(row["index"])},
            file=file,
            row=number,
            columns=["image"],
            options=options,
            about=row["category"],
        )


BENCHMARK = Graded(
    name="mmstar",
    data="MMStar",
    figures=("accuracy",),
    locate=lambda data: find_tables(data, ("MMStar/mmstar.parquet", "MMStar/*/val-*.parquet")),
    documents=_documents,
    read=read_option,
    reading="letters by rule",
)
