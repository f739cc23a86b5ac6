"""Where a benchmark's files lie, and how many of its questions are asked."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from pyarrow import ArrowException

from diva.errors import Damaged, Missing

Document = dict[str, Any]
IMAGE = "<image>"  # LLaVA's chat template writes the line break behind it


def find(data: str | Path | None, names: Sequence[str]) -> Path:
    """Return the first of `names`, relative to the folder `data`, that exists.

    Raises:
        InputError: no folder was named, or none of the names is there.
    """
    if data is None:
        raise Missing("data", "no folder is named; give lm_eval --metadata data=FOLDER, see docs/llava.md")
    for name in names:
        if (Path(data) / name).exists():
            return Path(data) / name
    raise Missing(data, f"holds none of {', '.join(names)}; put the official files there, see docs/llava.md")


def first_groups(
    documents: Iterable[Document], group: Callable[[Document], object], first: int | None
) -> list[Document]:
    """Return the documents sorted so that groups stand together, of the first `first` groups only.

    A group is what is scored as one: a question in all its rotations, or a pair. The order of the groups is that in
    which they begin, so that a plain `--limit` cuts the last one at most.
    """
    groups: dict[object, list[Document]] = {}
    for document in documents:
        groups.setdefault(group(document), []).append(document)
    return [document for each in list(groups.values())[:first] for document in each]


def as_test_split(documents: Sequence[Mapping[str, Any]]) -> dict[str, Dataset]:
    """Return what lm-eval's `custom_dataset` is to return.

    Raises:
        InputError: a document holds half a character, or a number of more than 64 bits.
    """
    try:
        return {"test": Dataset.from_list([dict(document) for document in documents])}
    except (UnicodeError, OverflowError, ArrowException) as error:
        raise Damaged(
            f"a question holds what is no text, or too large a number ({error}); fetch its file again"
        ) from error
