"""What the labels of a set are, as clip-benchmark's folders say it."""

from pathlib import Path
from typing import Literal

from diva.documents import read_file
from diva.errors import Unknown, did_you_mean, printable

TYPE = "dataset_type.txt"
Kind = Literal["classification", "multilabel", "retrieval"]
LABELS: dict[Kind, str] = {"classification": "cls", "multilabel": "npy", "retrieval": "txt"}  # suffixes in shards


def read_kind(folder: Path) -> Kind:
    """Return what the labels of a set are; classes where its folder says nothing.

    Raises:
        InputError: it says something unknown.
    """
    path = folder / TYPE
    said = read_file(path, 64).decode(errors="replace").strip().lower() if path.exists() else "classification"
    for kind in LABELS:
        if said == kind:
            return kind
    raise Unknown(path, f"'{printable(said)}' is unknown; {did_you_mean(said, LABELS)}")
