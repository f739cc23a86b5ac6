"""MMStar: questions that cannot be answered without the picture, of six abilities with 250 questions each."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from diva_downstream.llava.tasks.graded import lettered, of_letters
from diva_downstream.llava.tasks.parquet import read_rows
from diva_downstream.llava.tasks.source import Document

COLUMNS = ("index", "question", "answer", "category")
OPTION = re.compile(r"\b([A-D]): (.*?)(?=,? ?\b[B-D]: |\Z)", re.DOTALL)  # behind "Options:" in the question itself


def _documents(paths: Sequence[Path]) -> Iterator[Document]:
    for file, number, row in read_rows(paths, COLUMNS):
        options = [text.strip() for _, text in OPTION.findall(row["question"].rpartition("Options:")[2])]
        yield lettered(
            row["question"],
            row["answer"],
            options,
            str(row["index"]),
            file=file,
            row=number,
            columns=["image"],
            about=row["category"],
        )


BENCHMARK = of_letters("mmstar", "MMStar", ("MMStar/mmstar.parquet", "MMStar/*/val-*.parquet"), _documents)
