"""CV-Bench: counting and relations in 2D (ADE20K, COCO), depth and distance in 3D (Omni3D).

The official accuracy is half the mean of ADE20K's and COCO's and half Omni3D's. Omni3D's two tasks have equally
many questions, so it is the mean of four groups: ADE20K, COCO, depth, distance.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from diva_downstream.llava.tasks.graded import lettered, of_letters
from diva_downstream.llava.tasks.parquet import read_rows
from diva_downstream.llava.tasks.source import Document

COLUMNS = ("idx", "type", "task", "prompt", "choices", "answer", "source")


def _documents(paths: Sequence[Path]) -> Iterator[Document]:
    for file, number, row in read_rows(paths, COLUMNS):
        yield lettered(
            row["prompt"],
            row["answer"],
            row["choices"],
            f"{row['type']} {row['idx']}",
            file=file,
            row=number,
            columns=["image"],
            group=row["source"] if row["type"] == "2D" else row["task"],
            about=row["task"],
        )


BENCHMARK = of_letters("cv-bench", "CV-Bench", ("CV-Bench/test_?d.parquet", "cv-bench/test_?d.parquet"), _documents)
