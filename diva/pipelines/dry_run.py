"""`diva run --dry-run`: what would be run, what is there already, and which data are missing."""

import shlex
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from diva.errors import printable
from diva.pipelines.data import absent_data
from diva.pipelines.manifest import Manifest
from diva.pipelines.plan import Step
from diva.pipelines.uptodate import Origins


def print_plan(steps: Sequence[Step], manifest: Manifest, lines: Sequence[str], console: Console) -> None:
    """Print every step with its outlook and command, and then `lines`: what would keep the run from its end."""
    origins, cached = Origins(manifest), set[str]()
    chosen = {step.name for step in steps}
    for step in steps:
        waits = [name for name in step.after if name in chosen - cached]
        lacking = [str(path) for path in step.needs if not path.exists()]
        if absent_data(step):
            outlook = "data missing"
        elif waits:
            outlook = f"to run after {', '.join(waits)}"
        elif lacking:
            outlook = f"lacks {', '.join(lacking)}"
        elif origins.up_to_date(step):
            outlook = "cached"
            cached.add(step.name)
        elif manifest.stages[step.name].state != "done" or not all(path.exists() for path in step.makes):
            outlook = "to run: not made yet"
        else:
            outlook = "to run: its command, its data, the recipe or what it needs changed"
        console.print(Text(printable(f"{step.name}: {outlook}"), "bold"), soft_wrap=True)
        launched = f"{shlex.join(step.launcher)}: " if step.launcher else ""
        console.print(Text(printable(f"  {launched}diva {shlex.join(step.words)}"), "dim"), soft_wrap=True)
    console.print(Text("report: always the last"))
    for line in lines:
        console.print(Text(printable(line), "red"), soft_wrap=True)
