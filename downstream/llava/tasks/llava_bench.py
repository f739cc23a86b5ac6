"""LLaVA-Bench in the wild: open questions, whose answers a judge compares with reference answers.

lm-eval only writes the answers; `diva llava eval --judge-url` has them judged.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from PIL import Image

from diva.documents import path_within, read_json_lines
from diva.errors import Damaged
from diva_downstream.llava.tasks.pictures import picture_file
from diva_downstream.llava.tasks.source import IMAGE, Document, as_test_split, find, first_groups

FOLDERS = ("llava-bench-in-the-wild", "llava_bench")
QUESTIONS, CONTEXT, REFERENCES = "questions.jsonl", "context.jsonl", "answers_gpt4.jsonl"
CATEGORIES = ("conv", "detail", "complex")


def locate(data: str | Path | None) -> Path:
    """Return the benchmark's folder below the folder `data`.

    Raises:
        InputError: there is none.
    """
    return find(data, FOLDERS)


def documents(*, data: str | None = None, first: int | None = None, **_: object) -> dict[str, Dataset]:
    """Return lm-eval's data set of the folder below `data`, or of its `first` questions."""
    return as_test_split(first_groups(read(locate(data)), lambda document: document["question_id"], first))


def read(folder: Path) -> list[Document]:
    """Read the official files; the reference answer is found by its `question_id`, the context by its image.

    LLaVA's own script takes the files line by line, so that a line that is missing from one shifts all that follow.

    Raises:
        InputError: a file or a field is missing, a question has no reference answer or no context, is of another
            category, or names a picture that lies elsewhere.
    """
    questions = read_lines(folder / QUESTIONS, ("question_id", "image", "text", "category"))
    contexts = {line["image"]: line["caption"] for line in read_lines(folder / CONTEXT, ("image", "caption"))}
    references = {
        line["question_id"]: line["text"] for line in read_lines(folder / REFERENCES, ("question_id", "text"))
    }
    return [_document(folder, question, contexts, references) for question in questions]


def doc_to_text(document: Document) -> str:
    """Return the question as it is."""
    return f"{IMAGE}{document['question']}"


def doc_to_image(document: Document) -> list[Image.Image]:
    """Return the document's picture."""
    return [picture_file(document["file"])]


def process_results(_: Document, answers: Sequence[str]) -> dict[str, float]:
    """Return whether there is an answer; how good it is, only a judge can say."""
    return {"answered": float(bool(answers[0].strip()))}


def read_lines(path: Path, fields: Iterable[str]) -> list[Document]:
    """Read a JSON-lines file whose every line has `fields`.

    Raises:
        InputError: the file is missing or empty, or a line is not a JSON object, or a field is missing or not text.
    """
    found = [_line(path, number, line, fields) for number, line in read_json_lines(path)]
    if not found:
        raise Damaged(path, "is empty; fetch the benchmark's files again")
    return found


def _line(path: Path, number: int, content: Any, fields: Iterable[str]) -> Document:
    missing = [name for name in fields if not isinstance(content, dict) or name not in content]
    if missing:
        raise Damaged(path, f"line {number}", f"has no '{missing[0]}'; fetch the file again")
    for name in fields:
        texts = content[name] if isinstance(content[name], list) else [content[name]]
        if not all(isinstance(text, str) or (isinstance(text, int) and name == "question_id") for text in texts):
            raise Damaged(path, f"line {number}", f"'{name}' is not text; fetch the file again")
    return dict(content)


def _document(
    folder: Path, question: Document, contexts: Mapping[str, object], references: Mapping[object, str]
) -> Document:
    number, image, category = question["question_id"], question["image"], question["category"]
    if category not in CATEGORIES:
        raise Damaged(
            folder / QUESTIONS, f"question {number}", f"category '{category}' is none of {', '.join(CATEGORIES)}"
        )
    for known, file, key in ((references, REFERENCES, number), (contexts, CONTEXT, image)):
        if key not in known:
            raise Damaged(folder / file, f"has no line for '{key}' of question {number}; fetch it again")
    caption = contexts[image]
    return {
        "question_id": str(number),
        "question": question["text"],
        "category": category,
        "context": "\n".join(caption) if isinstance(caption, list) else str(caption),
        "reference": references[number],
        "file": str(path_within(folder / "images", image, f"{folder / QUESTIONS}: question {number}")),
    }
