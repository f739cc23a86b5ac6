"""NaturalBench: two pictures and two questions, each with the other answer on the other picture.

A group is right if all four answers are, a question if it is on both pictures, a picture if both questions are.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from diva.errors import Damaged
from diva_downstream.llava.tasks.graded import Graded, document
from diva_downstream.llava.tasks.parquet import find_tables, read_rows
from diva_downstream.llava.tasks.source import Document

ANSWERS = {(picture, question): f"Image_{picture}_Question_{question}" for question in (0, 1) for picture in (0, 1)}
COLUMNS = ("Index", "Question_0", "Question_1", *ANSWERS.values())
# of the official script: what it puts behind a question, by the words that answer it and that it looks for
INSTRUCTIONS = {
    ("yes", "no"): "Please answer Yes or No.",
    ("a", "b"): "Please output the letter corresponding to the correct option.",
}


def _documents(paths: Sequence[Path]) -> Iterator[Document]:
    for file, number, row in read_rows(paths, COLUMNS):
        for (picture, question), column in ANSWERS.items():
            right = str(row[column]).strip().casefold()
            words = next((each for each in INSTRUCTIONS if right in each), None)
            if words is None:
                raise Damaged(file, f"row {number}", f"{column} '{right[:40]}' is no answer; fetch the file again")
            yield document(
                f"{row[f'Question_{question}']} {INSTRUCTIONS[words]}",
                right,
                {
                    "group": str(row["Index"]),
                    "question": f"{row['Index']} question {question}",
                    "image": f"{row['Index']} image {picture}",
                    "accuracy": f"{row['Index']} image {picture} question {question}",
                },
                file=file,
                row=number,
                columns=[f"Image_{picture}"],
                options=words,
            )


def _read(question: Document, answer: str) -> str | None:
    """Return the word that comes first, as the official script does."""
    found = {word: re.search(rf"\b{word}\b", answer, re.IGNORECASE) for word in question["options"]}
    places = {word: match.start() for word, match in found.items() if match}
    return min(places, key=places.__getitem__) if places else None


BENCHMARK = Graded(
    name="naturalbench",
    data="NaturalBench",
    figures=("group", "question", "image", "accuracy"),
    locate=lambda data: find_tables(data, ("NaturalBench/data/*.parquet", "NaturalBench/*.parquet")),
    documents=_documents,
    read=_read,
    reading="the first yes or no, A or B",
)
