"""BLINK: fourteen tasks that people solve within a blink, most with several pictures a question.

The figure is the mean of the tasks' accuracies on the validation split, whose answers are public.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from diva_downstream.llava.tasks.graded import lettered, of_letters
from diva_downstream.llava.tasks.parquet import read_rows
from diva_downstream.llava.tasks.source import Document

PICTURES = ("image_1", "image_2", "image_3", "image_4")
COLUMNS = ("idx", "sub_task", "prompt", "choices", "answer", *PICTURES)


def _documents(paths: Sequence[Path]) -> Iterator[Document]:
    for file, number, row in read_rows(paths, COLUMNS):
        yield lettered(
            row["prompt"],
            row["answer"],
            row["choices"],
            str(row["idx"]),
            file=file,
            row=number,
            columns=[name for name in PICTURES if row[name]],
            group=row["sub_task"],
            about=row["sub_task"],
        )


BENCHMARK = of_letters("blink", "BLINK", ("BLINK/*/val-*.parquet",), _documents)
