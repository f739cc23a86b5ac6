"""The same measurement by several processes on this machine, started by torchrun."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from diva.errors import RunError
from diva.results import read_result


def launched(processes: int, arguments: Sequence[str], folder: Path) -> float:
    """Run `diva bench throughput` with `arguments` in `processes` processes; return the images/s of all together.

    Raises:
        RunError: it failed; the sentence holds the last line that it said.
    """
    out = folder / f"{processes}-processes"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [*torchrun, "-m", "diva.cli", "bench", "throughput", *arguments, "--out", str(out)]
    # accelerate would look for a GPU for each process
    environment = os.environ | ({} if torch.cuda.is_available() else {"ACCELERATE_USE_CPU": "true"})
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = list(out.glob("*.json"))
    if done.returncode or len(found) != 1:
        said = [line for line in done.stderr.splitlines() if line.startswith("diva: ")] or done.stderr.splitlines()
        raise RunError(f"--processes: {processes} processes failed ({said[-1] if said else 'they said nothing'})")
    return read_result(found[0]).metrics["images/s"].value
