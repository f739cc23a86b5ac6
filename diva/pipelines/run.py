"""`diva run`: every step of a pipeline that is not done yet, and the report."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from diva.errors import Failed, InputError, Invalid, Unwritable, install, printable
from diva.lock import locked
from diva.pipelines.dry_run import print_plan
from diva.pipelines.load import PREFIX, load_pipeline
from diva.pipelines.manifest import MANIFEST, REPORT, Manifest, StageRecord, read_manifest
from diva.pipelines.outlook import obstacles
from diva.pipelines.plan import TRAINING, Step, missing_extras, plan, report_step
from diva.pipelines.schema import Pipeline
from diva.pipelines.select import select
from diva.pipelines.work import Work
from diva.recipes import PackagedRecipes, load_recipe, write_recipe
from diva.recipes.files import read_fields


def run(
    name: str,
    overrides: Sequence[str],
    out: Path | None,
    *,
    tower: str | None = None,
    pipeline: str | None = None,
    only: Sequence[str] = (),
    first: str | None = None,
    dry_run: bool = False,
    jobs: int = 1,
    check: Callable[[Sequence[str]], None],
) -> None:
    """Run the steps of a pipeline for the recipe `name` in the folder `out`, and then the report.

    Those that are done are kept. A step that fails does not keep those from running that do not need it. The
    folder's `manifest.json` says what was run; a run that was interrupted goes on where it stopped.

    Args:
        overrides: of the recipe's fields; with `pipeline.` before them, of the pipeline's.
        out: `runs/NAME` unless given.
        tower: the tower that `name`, a method, is composed for.
        pipeline: a packaged name or a file; unless given, the one that is made for such a recipe.
        only: run these steps alone.
        first: run this step and those behind it in the plan.
        dry_run: only print what would be run.
        jobs: steps that may run at once, where none needs another.
        check: raises `InputError` for the words of a `diva` command that would not be understood.

    Raises:
        InputError: the recipe or the pipeline cannot be used, or another run is at work in the folder; nothing has
            been run then.
        RunError: a step is not done; the report names it.
    """
    if jobs < 1:
        raise Invalid("--jobs", f"{jobs} is too few; give 1 or more")
    recipe = load_recipe(name, [each for each in overrides if not each.startswith(PREFIX)], tower)
    if tower is None and read_fields(name, PackagedRecipes()).get("pipeline") is not None:  # of 0.1
        raise Invalid(
            name,
            "pipeline",
            "recipes hold no pipeline any more; move its stages to a file of their own, as steps"
            " (docs/run.md), and name that with --pipeline",
        )
    chosen = load_pipeline(pipeline, recipe, [each for each in overrides if each.startswith(PREFIX)])
    folder, console = out or Path("runs") / recipe.name, Console()
    steps = plan(recipe, chosen, folder)
    wanted = select(steps, only, first)
    for step in steps:
        try:
            check(step.words)
        except InputError as error:
            raise error.within(chosen.name, f"steps.{step.family}.with") from error
    if folder.exists() and not folder.is_dir():
        raise Unwritable("--out", folder, "is a file; give the run's folder")
    for extra in missing_extras(chosen):
        console.print(Text(f"Left out: {extra}; it needs {install(extra)}.", "yellow"), soft_wrap=True)

    def manifest() -> Manifest:
        """Go on from the manifest of the folder, if there is one; steps that are no longer planned are dropped."""
        before = read_manifest(folder / MANIFEST) if (folder / MANIFEST).exists() else None
        stages, files = (before.stages, before.files) if before else ({}, {})
        controls = {step.name: step.control for step in steps} | {REPORT: False}
        return Manifest(
            recipe=recipe.name,
            pipeline=chosen.name,
            overrides=list(overrides),
            stages={
                name: stages.get(name, StageRecord()).model_copy(update={"control": control})
                for name, control in controls.items()
            },
            files=files,
        )

    if dry_run:
        print_plan(wanted, manifest(), obstacles(wanted, chosen, recipe, folder), console)
        return
    for line in obstacles(wanted, chosen, recipe, folder):
        console.print(Text(printable(line), "red"), soft_wrap=True)
    with locked(folder) as lock:
        write_recipe(recipe, folder / TRAINING)
        work = Work(manifest(), folder / MANIFEST, lock, console)  # which nobody else writes now
        _do(work, wanted, chosen, folder=folder, jobs=jobs, console=console)
    if work.failed:
        raise Failed(
            folder,
            f"not done: {', '.join(work.failed)}; {folder / MANIFEST} and the report say why, and the"
            " same command continues from here",
        )


def _do(
    work: Work, steps: Sequence[Step], pipeline: Pipeline, *, folder: Path, jobs: int, console: Console
) -> None:
    """Do the steps and the report."""
    work.do(steps, jobs)
    facts = {
        name: f"{record.state} {record.reason} {record.started}"
        for name, record in work.manifest.stages.items()
        if name != REPORT
    }
    work.do([report_step(pipeline, folder, facts)])
    if not (work.ran or work.failed):
        kept = len(work.kept) - 1
        console.print(Text(f"Nothing was run: all {kept} steps and the report are unchanged."))
    console.print(Text(f"The report is {folder / REPORT / 'report.html'}."), soft_wrap=True)
