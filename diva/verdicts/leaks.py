"""Does a list teach the very statements of a benchmark?"""

import csv
import io
import re
from pathlib import Path

from diva.documents import read_file
from diva.errors import Damaged, Missing
from diva.verdicts.statements import Statements

TABLES = {".csv": ",", ".tsv": "\t"}
FRAME = re.compile(r"^((an?|the|picture|photo|image|of|this|is) )+")  # what a statement may begin with


def leaks(statements: Statements, folder: Path) -> list[str]:
    """Return the statements that also stand in a table (`.csv` or `.tsv`) of a benchmark's `folder`.

    Case, punctuation and "a photo of a" make no difference.

    Raises:
        InputError: the folder has no table, or one that cannot be read.
    """
    tables = sorted(path for path in folder.glob("*") if path.suffix.lower() in TABLES)
    if not tables:
        raise Missing("--benchmark", folder, "holds no .csv or .tsv; give a folder such as MMVP-VLM's")
    tested = {_bare(cell) for path in tables for cell in _cells(path)}
    taught = (text for name in statements.groups for texts in statements.texts(name) for text in texts)
    return [text for text in taught if _bare(text) in tested]


def _cells(path: Path) -> list[str]:
    try:
        text = io.StringIO(read_file(path).decode("utf-8-sig"), newline="")
        return [cell for row in csv.reader(text, delimiter=TABLES[path.suffix.lower()]) for cell in row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise Damaged("--benchmark", path, f"cannot be read as a table ({error}); fetch it again") from error


def _bare(text: str) -> str:
    return FRAME.sub("", " ".join(re.findall(r"\w+", text.casefold())))
