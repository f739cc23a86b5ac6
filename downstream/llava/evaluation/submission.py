"""The workbook that MMBench's server scores: the TSV's questions and options with the model's answers."""

from collections.abc import Sequence
from pathlib import Path

import pandas

from diva.atomic import replacing
from downstream.llava.evaluation.scored import Answered
from downstream.llava.tasks.mmbench import LETTERS

COLUMNS = ("index", "question", *LETTERS, "prediction")


def write_submission(answered: Sequence[Answered], path: Path) -> None:
    """Write the workbook as LLaVA's own script does: a row a rotation, by `index`, the answer as it was given.

    Raises:
        RunError: the place cannot be written to.
    """
    rows = [{**document, "prediction": answer} for document, answer in answered]
    table = pandas.DataFrame(rows, columns=list(COLUMNS)).sort_values("index")
    with replacing(path) as temporary, temporary.open("wb") as file:
        table.to_excel(file, index=False, engine="openpyxl")
