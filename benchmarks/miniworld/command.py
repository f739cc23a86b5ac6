"""`diva miniworld study`: run what is left of the plan, and lay out what there is."""

from pathlib import Path

from rich.console import Console

from diva.atomic import replacing
from diva_benchmarks.miniworld.plan import Plan, read_plan
from diva_benchmarks.miniworld.rows import read_rows
from diva_benchmarks.miniworld.study import Train, run
from diva_benchmarks.miniworld.table import markdown, summarise
from diva_benchmarks.options import require_positive


def study(bases: Path, work: Path, out: Path, *, train: Train, processes: int) -> None:
    """Run the packaged plan, then write `study.md` and `study.json` beside the rows in `out`.

    Raises:
        InputError: a base is missing, or `out` holds rows of another plan.
        RunError: some runs failed; the tables of the others have been written.
    """
    require_positive({"--processes": processes})
    plan, rows = read_plan(), out / "rows"
    read_rows(rows, plan)  # of another plan: refused before hours of work
    try:
        run(plan, bases, work, rows, train=train, processes=processes, console=Console(stderr=True))
    finally:
        _write_tables(plan, out)


def _write_tables(plan: Plan, out: Path) -> None:
    rows = read_rows(out / "rows", plan)
    if not rows:
        return
    summary = summarise(plan, rows)
    for name, text in (("study.md", markdown(summary)), ("study.json", summary.model_dump_json(indent=1) + "\n")):
        with replacing(out / name) as temporary:
            temporary.write_text(text)
