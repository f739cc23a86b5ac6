"""`diva miniworld pretrain`, `gates` and `study`."""

from pathlib import Path

import torch
from rich.console import Console

from diva.atomic import check_files_in, replacing
from diva.errors import Failed
from diva.lock import locked
from diva.miniworld.base import Base
from diva_benchmarks.miniworld.gates import Gates, gates_table, measure_gates
from diva_benchmarks.miniworld.plan import PLAN, Plan, read_plan
from diva_benchmarks.miniworld.pretrain import Settings, pretrain
from diva_benchmarks.miniworld.rows import ROWS, read_rows
from diva_benchmarks.miniworld.study import run
from diva_benchmarks.miniworld.table import markdown, summarise
from diva_benchmarks.options import require_positive

TABLES = ("study.md", "study.json")


def run_pretrain(out: Path, *, seed: int, device: torch.device, console: Console) -> None:
    """Train a base into `out` and print its gates; `diva miniworld pretrain --out DIR --seed N`.

    Raises:
        InputError: `out` cannot be used.
        RunError: a gate failed; the base is kept, with the failure in its recipe.
    """
    _report(pretrain(out, seed=seed, settings=Settings(), device=device), out, console)


def run_gates(base: Path, *, device: torch.device, console: Console) -> None:
    """Measure the gates of the base in `base` and print them; `diva miniworld gates BASE`.

    Raises:
        InputError: `base` is no base.
        RunError: a gate failed.
    """
    _report(measure_gates(Base(base), device=device), base, console)


def study(bases: Path, work: Path, out: Path, *, processes: int, plan_file: Path | None = None) -> None:
    """Run a plan, the packaged one by default; then write `study.md` and `study.json` beside the rows in `out`.

    Raises:
        InputError: the plan cannot be read, all bases that are left are missing, `out` holds rows of
            another plan, or another study is at work there.
        RunError: some runs failed; the tables of the others have been written.
    """
    require_positive({"--processes": processes})
    check_files_in(out, *TABLES)
    plan = read_plan(plan_file or PLAN)
    with locked(out):
        read_rows(out / ROWS, plan)  # of another plan: refused before hours of work
        try:
            run(plan, bases, work, out / ROWS, processes=processes, console=Console(stderr=True))
        finally:
            _write_tables(plan, out, plan_file)


def _report(gates: Gates, base: Path, console: Console) -> None:
    console.print(gates_table(gates))
    if gates.failed:
        names = ", ".join(f"{gate.name} {gate.value:.1f} %" for gate in gates.failed)
        raise Failed(base, f"{len(gates.failed)} gates failed ({names}); this base may not ship")


def _write_tables(plan: Plan, out: Path, plan_file: Path | None) -> None:
    rows = read_rows(out / ROWS, plan)
    if not rows:
        return
    summary = summarise(plan, rows, str(plan_file) if plan_file else None)
    for name, text in zip(TABLES, (markdown(summary), summary.model_dump_json(indent=1) + "\n"), strict=True):
        with replacing(out / name) as temporary:
            temporary.write_text(text)
