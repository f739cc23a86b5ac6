"""`diva bench throughput`: recipes × batch sizes × options, or the data alone."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from diva.atomic import check_files_in
from diva.errors import Invalid, Missing
from diva_benchmarks.options import require_positive
from diva_benchmarks.throughput.bench import Bench, Setting
from diva_benchmarks.throughput.cases import BASELINE, cases, read_counts, read_options
from diva_benchmarks.throughput.show import show_data, show_outcomes

STAGES = ("all", "data")
WIDTH = 160


def run(
    recipes: Sequence[str],
    setting: Setting,
    *,
    batch: str,
    options: str,
    baseline: bool,
    stage: str,
) -> None:
    """Measure, print the tables, and write a result file for each case.

    Args:
        recipes: their names or files.
        setting: what holds for every case.
        batch: comma list of images an update and process.
        options: comma list of options, see `diva_benchmarks.throughput.cases`.
        baseline: also measure the plain rendering of the published schedule.
        stage: "all", or "data" for the loader alone.

    Raises:
        InputError: an option or a recipe cannot be used, or a result file cannot be written.
    """
    if stage not in STAGES:
        raise Invalid("--stage", f"'{stage}' is not a stage; give {' or '.join(STAGES)}")
    require_positive({"--updates": setting.updates, "--warmup": setting.warmup})
    if not recipes:
        raise Missing("RECIPE", "missing; name one or more, such as diva/openai-vit-l14-224")
    batches, chosen = read_counts("--batch", batch), read_options(options)
    if baseline:
        chosen = [(BASELINE,), *chosen]
    # a table that is piped into a file is as wide as it needs
    console = Console(width=None if sys.stdout.isatty() else WIDTH, quiet=os.environ.get("RANK", "0") != "0")
    with TemporaryDirectory() as folder:
        bench = Bench(setting, Path(folder), Console(stderr=True, quiet=console.quiet))
        if stage == "data":
            show_data([bench.data(recipe, size) for recipe in recipes for size in batches], console)
            return
        planned = list(cases(recipes, batches, chosen))
        if setting.out is not None:
            check_files_in(setting.out, *map(bench.file_name, planned))
        show_outcomes([bench.outcome(case) for case in planned], console)
