"""BLINK: fourteen tasks that people solve within a blink, most with several pictures a question.

The figure is the mean of the tasks' accuracies on the validation split, whose answers are public.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from diva_downstream.llava.tasks.graded import Graded, document, letter_in, read_option
from diva_downstream.llava.tasks.mmbench import INSTRUCTIONS
from diva_downstream.llava.tasks.parquet import find_tables, read_rows
from diva_downstream.llava.tasks.source import Document

PICTURES = ("image_1", "image_2", "image_3", "image_4")
COLUMNS = ("idx", "sub_task", "prompt", "choices", "answer", *PICTURES)


def _documents(paths: Sequence[Path]) -> Iterator[Document]:
    for file, number, row in read_rows(paths, COLUMNS):
        yield document(
            f"{row['prompt']}\n{INSTRUCTIONS['en']}",
            letter_in(row["answer"], row["choices"], f"{file}: row {number}"),
            {"accuracy": str(row["idx"])},
            file=file,
            row=number,
            columns=[name for name in PICTURES if row[name]],
            options=row["choices"],
            group=row["sub_task"],
            about=row["sub_task"],
        )


BENCHMARK = Graded(
    name="blink",
    data="BLINK",
    figures=("accuracy",),
    locate=lambda data: find_tables(data, ("BLINK/*/val-*.parquet",)),
    documents=_documents,
    read=read_option,
    reading="letters by rule",
)
