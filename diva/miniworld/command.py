"""What `diva miniworld` does for each of its verbs."""

from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from diva.errors import RunError
from diva.miniworld.gates import Gates, gates_table, measure_gates
from diva.miniworld.pretrain import Settings, pretrain
from diva.miniworld.write import Counts, write_world


def run_pretrain(out: Path, *, seed: int, device: torch.device, console: Console) -> None:
    """Train a base into `out` and print its gates; `diva miniworld pretrain --out DIR --seed N`.

    Raises:
        InputError: `out` cannot be used.
        RunError: a gate failed; the base is kept, with the failure in its recipe.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        gates = pretrain(out, seed=seed, settings=Settings(), device=device, progress=progress)
    _report(gates, out, console)


def run_gates(base: Path, *, device: torch.device, console: Console) -> None:
    """Measure the gates of the base in `base` and print them; `diva miniworld gates BASE`.

    Raises:
        InputError: `base` is no base.
        RunError: a gate failed.
    """
    _report(measure_gates(base, device=device), base, console)


def run_write(out: Path, *, seed: int, counts: Counts, console: Console) -> None:
    """Write the world's data sets to `out`; `diva miniworld write --out DIR --seed N`.

    Raises:
        InputError: `out` is not empty.
    """
    write_world(out, seed=seed, counts=counts)
    console.print(f"{out}: {', '.join(sorted(path.name for path in out.iterdir()))}", soft_wrap=True)


def _report(gates: Gates, base: Path, console: Console) -> None:
    console.print(gates_table(gates))
    if gates.failed:
        names = ", ".join(f"{gate.name} {gate.value:.1f} %" for gate in gates.failed)
        raise RunError(f"{base}: {len(gates.failed)} gates failed ({names}); this base may not ship")
