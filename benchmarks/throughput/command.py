"""`diva bench throughput`: recipes × batch sizes × options, the data alone, several processes, whole runs."""

import math
import os
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from benchmarks.options import require_positive
from benchmarks.throughput.bench import IMAGES_PER_SHARD, Bench, Setting, Training
from benchmarks.throughput.cases import BASELINE, cases, read_counts, read_options
from benchmarks.throughput.outcome import Outcome
from benchmarks.throughput.scaling import Assumptions, modelled
from benchmarks.throughput.show import show_data, show_growth, show_outcomes, show_scaling
from benchmarks.throughput.stopwatch import BACKWARD
from diva.errors import InputError

STAGES = ("all", "data", "growth")
MARKS = 3  # updates of a run that say what one costs; the first is the start-up's
MODELLED = (1, 2, 4, 8, 16, 32, 64)
WIDTH = 160


def run(
    recipes: Sequence[str],
    setting: Setting,
    training: Training,
    batch: str,
    options: str,
    baseline: bool,
    processes: str | None,
    stage: str,
) -> None:
    """Measure, print the tables, and write a result file for each case.

    Args:
        recipes: their names or files.
        setting: what holds for every case.
        training: what is measured.
        batch: comma list of images an update and process.
        options: comma list of options, see `benchmarks.throughput.cases`.
        baseline: also measure the plain rendering of the published schedule.
        processes: comma list of numbers of processes for the scaling sheet; None for no sheet.
        stage: "all", "data" for the loader alone, or "growth" for whole runs over the shards and ten times as many.

    Raises:
        InputError: an option or a recipe cannot be used.
        RunError: processes that were started failed.
    """
    if stage not in STAGES:
        raise InputError(f"--stage: '{stage}' is none; give {', '.join(STAGES[:-1])} or {STAGES[-1]}")
    require_positive({"--updates": setting.updates, "--warmup": setting.warmup})
    if not recipes:
        raise InputError("RECIPE: there is none; name one or more, such as diva/openai-vit-l14-224")
    batches, chosen = read_counts("--batch", batch), read_options(options)
    counts = read_counts("--processes", processes) if processes else []
    fewest = math.ceil(MARKS * max(batches) / IMAGES_PER_SHARD)
    if stage == "growth" and (setting.shards or 0) < fewest:
        raise InputError(
            f"--shards: growth at batch {max(batches)} needs {fewest} or more, for {MARKS} updates of the short run"
        )
    if baseline:
        chosen = [(BASELINE,), *chosen]
    # a table that is piped into a file is as wide as it needs
    console = Console(width=None if sys.stdout.isatty() else WIDTH, quiet=os.environ.get("RANK", "0") != "0")
    with TemporaryDirectory() as folder:
        bench = Bench(setting, training, Path(folder), Console(stderr=True, quiet=console.quiet))
        if stage == "data":
            show_data([bench.data(recipe, size) for recipe in recipes for size in batches], console)
            return
        if stage == "growth":
            for recipe, size in product(recipes, batches):
                show_growth(recipe, *bench.growth(recipe, size), console)
            return
        outcomes = [bench.outcome(case) for case in cases(recipes, batches, chosen)]
        show_outcomes(outcomes, console)
        ours = [outcome for outcome in outcomes if not outcome.case.is_baseline]  # alone runs in several processes
        for outcome in ours if counts else ():
            measured = {count: bench.rate(outcome, count) for count in counts}
            show_scaling(outcome.case, measured, _curve(outcome, counts), Assumptions(), console)


def _curve(outcome: Outcome, counts: Sequence[int]) -> dict[int, float]:
    found = outcome.measurement
    seconds = sum(found.seconds) / len(found.seconds)
    return {
        processes: modelled(
            processes,
            images=outcome.case.batch,
            seconds=seconds,
            backward=found.split.get(BACKWARD, 0.0),
            gradient_bytes=outcome.gradient_bytes,
            assumptions=Assumptions(),
        )
        for processes in sorted({*MODELLED, *counts})
    }
