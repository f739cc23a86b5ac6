"""HallusionBench: yes-or-no questions about figures, and about the same figures altered.

Its questions without a picture are left out, and answers are read by rule in place of GPT-4, both as in VLMEvalKit.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from diva.documents import path_within, read_json
from diva_downstream.llava.tasks.graded import Graded, document
from diva_downstream.llava.tasks.source import Document, find

FILE = "HallusionBench.json"
PICTURES = "hallusion_bench"
RIGHT = {"0": "no", "1": "yes"}


def _documents(paths: Sequence[Path]) -> Iterator[Document]:
    (path,) = paths
    for row in read_json(path):
        if str(row["visual_input"]) == "0":
            continue
        place = f"{row['category']} {row['subcategory']} {row['set_id']}"
        name = row["filename"].removeprefix("./").removeprefix(f"{PICTURES}/")
        yield document(
            f"{row['question']}\nPlease answer yes or no.",
            RIGHT[str(row["gt_answer"])],
            {
                "accuracy": f"{place} {row['figure_id']} {row['question_id']}",
                "figure": f"{place} figure {row['figure_id']}",
                "question": f"{place} question {row['question_id']}",
            },
            file=path_within(path.parent / PICTURES, name, f"{path}: {place}"),
            about=str(row["subcategory"]),
        )


def _read(_: Document, answer: str) -> str | None:
    words = set(re.findall(r"\w+", answer.casefold())) & {"yes", "no"}
    return words.pop() if len(words) == 1 else None


BENCHMARK = Graded(
    name="hallusionbench",
    data="HallusionBench",
    figures=("accuracy", "figure", "question"),
    locate=lambda data: [find(data, (f"HallusionBench/{FILE}", f"hallusion_bench/{FILE}", FILE))],
    documents=_documents,
    read=_read,
    reading="yes or no by rule",
)
