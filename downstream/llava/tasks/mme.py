"""MME: two yes-or-no questions about each picture, in fourteen tasks of perception and cognition.

A task's score is 100 times the share of right answers, plus 100 times the share of pictures with both right; the
official total of perception is the sum over ten tasks (at most 2,000), that of cognition over four (at most 800).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from diva.documents import read_file
from diva.errors import Damaged
from diva_downstream.llava.tasks.graded import Grade, Graded, document, share
from diva_downstream.llava.tasks.pope import INSTRUCTION
from diva_downstream.llava.tasks.source import Document, find

# of the official tool, eval_tool/calculation.py
TASKS = {
    "perception": (
        *("existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork"),
        "OCR",
    ),
    "cognition": ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning"),
}
FOLDERS = ("MME_Benchmark_release_version/MME_Benchmark", "MME_Benchmark_release_version", "MME_Benchmark")
SUFFIXES = (".jpg", ".png", ".jpeg")
PREFIX = 4  # characters of an answer that are looked at
POINTS = 100  # for all answers right, and again for all pictures


def _locate(data: str | Path | None) -> list[Path]:
    folder = find(data, [f"{above}{name}" for name in FOLDERS for above in ("MME/", "")])
    found = []
    for task in (task for kind in TASKS.values() for task in kind):
        inner = folder / task / "questions_answers_YN"
        texts = sorted((inner if inner.is_dir() else folder / task).glob("*.txt"))
        if not texts:
            raise Damaged(folder / task, "holds no questions; fetch MME's release again")
        found += texts
    return found


def _documents(paths: Sequence[Path]) -> Iterator[Document]:
    for path in paths:
        split = path.parent.name == "questions_answers_YN"
        folder = path.parents[1] / "images" if split else path.parent
        picture = next(
            (folder / f"{path.stem}{suffix}" for suffix in SUFFIXES if _is_there(folder, path, suffix)), None
        )
        task = (path.parents[1] if split else path.parent).name
        lines = [line for line in _text(path).splitlines() if line.strip()]
        said = [line.rpartition("\t") for line in lines]
        if picture is None or len(said) != 2 or any(answer.strip() not in ("Yes", "No") for *_, answer in said):
            raise Damaged(path, "needs a picture beside it and two questions with Yes or No; fetch it again")
        for number, (question, _, answer) in enumerate(said):
            name = f"{task}/{path.stem}"
            yield document(
                f"{question.strip()}\n{INSTRUCTION}",
                answer.strip().casefold(),
                {"picture": name, "question": f"{name} {number}"},
                file=picture,
                group=task,
            )


def _is_there(folder: Path, path: Path, suffix: str) -> bool:
    return (folder / f"{path.stem}{suffix}").is_file()


def _text(path: Path) -> str:
    try:
        return read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Damaged(path, f"is no text ({error}); fetch it again") from error


def _read(_: Document, answer: str) -> str | None:
    """Return the word among the first four characters, "yes" before "no", as the official tool does."""
    begins = answer.strip().casefold()[:PREFIX]
    return next((word for word in ("yes", "no") if word in begins), None)


def total(kind: str, questions: Sequence[Grade], pictures: Sequence[Grade]) -> float:
    """Return the official total of "perception" or "cognition" over the tasks that were asked; NaN without any."""
    of_kind = [[grade for grade in given if grade.group in TASKS[kind]] for given in (questions, pictures)]
    tasks = {grade.group for grade in of_kind[0]}
    return POINTS * len(tasks) * sum(share(given) for given in of_kind)


def perception(given: Sequence[dict[str, Grade]]) -> float:
    """Return the total of perception, for lm-eval."""
    return _total("perception", given)


def cognition(given: Sequence[dict[str, Grade]]) -> float:
    """Return the total of cognition, for lm-eval."""
    return _total("cognition", given)


def _total(kind: str, given: Sequence[dict[str, Grade]]) -> float:
    return total(kind, *([each[name] for each in given] for name in ("question", "picture")))


BENCHMARK = Graded(
    name="mme",
    data="MME",
    figures=("picture", "question"),
    locate=_locate,
    documents=_documents,
    read=_read,
    reading="yes or no by the official rule",
    totals=tuple(TASKS),
)
