"""`diva quickstart`: a whole run on the miniature world, in the commands and the formats of the real one.

Its steps are those of `diva/pipelines/quickstart.yaml`, and `diva run` does them.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from diva.atomic import check_files_in
from diva.errors import Occupied
from diva.pipelines.manifest import MANIFEST, read_manifest
from diva.pipelines.run import run as run_pipeline

RECIPE = "diva/quickstart"
JOBS = 2  # each on one core
NEXT = """
To do the same with real weights (README.md says where to get them):
  diva run diva/openai-vit-l14-224 --dry-run   # shows what it would do, and which files are missing
  diva run diva/openai-vit-l14-224
"""


def run(out: Path, *, seed: int, check: Callable[[Sequence[str]], None]) -> None:
    """Run the quickstart in `out`.

    Args:
        out: a new folder, or that of a quickstart which did not end.
        seed: of the world and of the training.
        check: see `diva.pipelines.run.run`.

    Raises:
        InputError: `out` holds something else, or a quickstart with another seed.
        RunError: a step failed; the report names it.
    """
    overrides = [f"seed={seed}"]
    check_files_in(out, MANIFEST)
    if (out / MANIFEST).is_file():
        before = read_manifest(out / MANIFEST)
        if (before.recipe, before.overrides) != (RECIPE, overrides):
            raise Occupied(out, "belongs to another run; name another folder with --out, or remove it")
    elif out.exists() and any(out.iterdir()):
        raise Occupied(out, "is not empty; name another folder with --out, or remove it")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the steps: two at once, each on its own core
    run_pipeline(RECIPE, overrides, out, jobs=JOBS, check=check)
    Console().print(Text(NEXT), soft_wrap=True)
