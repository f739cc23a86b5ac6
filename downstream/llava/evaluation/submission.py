"""The workbook that MMBench's server scores: the TSV's questions and options with the model's answers."""

import re
from collections.abc import Sequence
from pathlib import Path

from openpyxl import Workbook
from openpyxl.cell.cell import TYPE_STRING

from diva.atomic import replacing
from diva_downstream.llava.evaluation.scored import Answered
from diva_downstream.llava.tasks.mmbench import LETTERS

COLUMNS = ("index", "question", *LETTERS, "prediction")
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_submission(answered: Sequence[Answered], path: Path) -> None:
    """Write the workbook as LLaVA's own script does: a row a rotation, by `index`, the answer as it was given.

    Every cell but the index is text, also one that begins with "="; characters that a workbook cannot hold become
    U+FFFD.

    Raises:
        RunError: the place cannot be written to.
    """
    book = Workbook()
    sheet = book.active
    sheet.append(COLUMNS)
    ordered = sorted(answered, key=lambda each: each.document["index"])
    for row, (document, answer) in enumerate(ordered, 2):
        for column, name in enumerate(COLUMNS, 1):
            value = answer if name == "prediction" else document[name]
            cell = sheet.cell(row, column)
            if isinstance(value, str):
                cell.value = NOT_XML.sub("\ufffd", value) or None
                cell.data_type = TYPE_STRING  # else a program computes what begins with "="
            else:
                cell.value = value
    with replacing(path) as temporary, temporary.open("wb") as file:
        book.save(file)
