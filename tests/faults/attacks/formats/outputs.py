"""What commands write and the report reads: results, studies, pictures."""

import shutil
from pathlib import Path
from typing import Any

from diva.errors import InputError
from diva.miniworld.base import Base
from diva.results import read_result, write_result
from diva_benchmarks.miniworld.measure import Measured
from diva_benchmarks.miniworld.plan import PLAN, read_plan
from diva_benchmarks.miniworld.rows import ORIGINAL, Row, read_rows, write_rows
from diva_benchmarks.miniworld.section import read_study
from diva_benchmarks.miniworld.study import _read_base
from diva_benchmarks.report.qualitative import read_qualitative
from diva_benchmarks.report.sources import read_sources
from tests.benchmarks.report.examples import AFTER, a_study, mmvp, right_in_each, write_png, write_visualised
from tests.faults.attacks.cell import Format
from tests.faults.attacks.formats.towers import WORLD


def _write_result(folder: Path) -> None:
    write_result(mmvp(AFTER, right_in_each(1, 2)), folder / "result.json")


def _read_result(folder: Path) -> Any:
    return read_result(folder / "result.json")


def _write_page(folder: Path) -> None:
    _write_result(folder)
    write_png(folder / "result.sheet.png", "teal")
    (folder / "recipe.yaml").write_text("name: tiny\nseed: 1\n")


def _read_page(folder: Path) -> Any:
    """Return what the report shows; it names what it leaves out."""
    found = read_sources([folder])
    for left in found.left_out:
        raise InputError(f"{left.what}: {left.reason}")
    results = [(entry.result, entry.sheet and entry.sheet.uri) for entry in found.results]
    return results, [recipe.text for recipe in found.recipes]


def _write_base(folder: Path) -> None:
    shutil.copy(WORLD / "recipe.json", folder)


def _write_study(folder: Path) -> None:
    (folder / "study.json").write_text(a_study().model_dump_json())


def _read_study(folder: Path) -> Any:
    return [block.model_dump() for block in read_study(folder / "study.json").blocks[1:-1]]


def _write_visualised(folder: Path) -> None:
    write_visualised(folder)


def _read_visualised(folder: Path) -> Any:
    return read_qualitative(folder / "visualised.json").model_dump(exclude={"path"})


def _write_rows(folder: Path) -> None:
    measured = Measured(pairs={"colour": 50}, zero_shot=20, pooled_probe={}, patch_probe={}, drift=0)
    terms = read_plan().terms(ORIGINAL)
    row = Row(terms=terms, base_sha256="a", setting=ORIGINAL, base=0, seed=None, measured=measured)
    write_rows([row], folder / "rows.jsonl")


def _read_rows(folder: Path) -> Any:
    return read_rows(folder / "rows.jsonl", read_plan())


def _write_plan(folder: Path) -> None:
    (folder / "plan.yaml").write_bytes(PLAN.read_bytes())


def _read_plan(folder: Path) -> Any:
    return read_plan(folder / "plan.yaml")


FORMATS = (
    Format("result", "json", _write_result, "result.json", _read_result),
    Format("report: picture sheet", "png", _write_page, "result.sheet.png", _read_page, optional=True),
    Format("report: recipe", "yaml", _write_page, "recipe.yaml", _read_page, optional=True),
    Format("base of a study", "json", _write_base, "recipe.json", lambda folder: _read_base(Base(folder))),
    Format("study", "json", _write_study, "study.json", _read_study),
    Format("rows of a study", "json lines", _write_rows, "rows.jsonl", _read_rows),
    Format("plan of a study", "yaml", _write_plan, "plan.yaml", _read_plan),
    Format("index of pictures", "json", _write_visualised, "visualised.json", _read_visualised),
    Format("picture of the index", "png", _write_visualised, "1.png", _read_visualised),
)
