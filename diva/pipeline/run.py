"""`diva run`: every stage of a recipe that is not done yet, and the report."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from doit.control import TaskControl
from doit.runner import MThreadRunner, Runner
from rich.console import Console
from rich.text import Text

from diva.errors import InputError, RunError
from diva.lock import locked
from diva.pipeline.dry_run import print_plan
from diva.pipeline.execute import execute
from diva.pipeline.ledger import Ledger
from diva.pipeline.manifest import MANIFEST, REPORT
from diva.pipeline.plan import TRAINING, Step, plan, report_step, training_recipe
from diva.pipeline.process import Running, end
from diva.pipeline.reporter import Reporter
from diva.pipeline.select import select
from diva.pipeline.tasks import absent_data, tasks_of
from diva.recipes import load_recipe, write_recipe
from diva.recipes.pipeline import PipelineSection


def run(
    name: str,
    overrides: Sequence[str],
    out: Path | None,
    *,
    tower: str | None = None,
    only: Sequence[str] = (),
    first: str | None = None,
    dry_run: bool = False,
    jobs: int = 1,
    check: Callable[[Sequence[str]], None],
) -> None:
    """Run the stages of the recipe `name` in the folder `out`, those that are done excepted, and then the report.

    A stage that fails does not keep those from running that do not need it. The folder's `manifest.json` says what
    was run; a run that was interrupted goes on where it stopped.

    Args:
        out: `runs/NAME` unless given.
        tower: the tower that `name`, a method, is composed for.
        only: run these stages alone.
        first: run this stage and those behind it in the recipe.
        dry_run: only print what would be run.
        jobs: stages that may run at once, where none needs another.
        check: raises `InputError` for the words of a `diva` command that would not be understood.

    Raises:
        InputError: the recipe or a command in it cannot be used, or another run is at work in the folder; nothing
            has been run then.
        RunError: a stage is not done; the report names it.
    """
    if jobs < 1:
        raise InputError(f"--jobs: {jobs} is too few; give 1 or more")
    recipe = load_recipe(name, overrides, tower)
    folder = out or Path("runs") / recipe.name
    steps = plan(recipe, folder)
    chosen = select(steps, only, first)
    for step in steps:
        _check(step, check)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out: {folder} is a file; give the run's folder")
    assert recipe.pipeline is not None  # plan has seen to it
    read = partial(Ledger, folder / MANIFEST, recipe.name, overrides, [*(step.name for step in steps), REPORT])
    if dry_run:
        print_plan(chosen, recipe.pipeline.data, read(), Console())
        return
    with locked(folder) as lock:
        ledger = read()  # which nobody else writes now
        write_recipe(training_recipe(recipe), folder / TRAINING)
        failed = _run(chosen, recipe.pipeline, folder, ledger, lock, jobs)
    if failed:
        raise RunError(
            f"{folder}: not done: {', '.join(failed)}; {folder / MANIFEST} and the report say why, and the same"
            " command goes on from here"
        )


def _run(
    steps: Sequence[Step], pipeline: PipelineSection, folder: Path, ledger: Ledger, lock: int, jobs: int
) -> list[str]:
    """Run the steps and the report; return the names of those that failed."""
    console = Console()
    for line in dict.fromkeys(line for step in steps for line in absent_data(step, pipeline.data)):
        console.print(Text(line, "red"), soft_wrap=True)
    stages = _doit(steps, pipeline, ledger, lock, console, jobs)
    facts = {
        name: f"{record.state} {record.reason} {record.started}"
        for name, record in ledger.manifest.stages.items()
        if name != REPORT
    }
    report = _doit([report_step(pipeline, folder, facts)], pipeline, ledger, lock, console, 1)
    if not (stages.ran or stages.failed or report.ran or report.failed):
        console.print(Text(f"Nothing was run: all {len(stages.kept)} stages and the report are unchanged."))
    console.print(Text(f"The report is {folder / REPORT / 'report.html'}."), soft_wrap=True)
    return stages.failed + report.failed


def _doit(
    steps: Sequence[Step], pipeline: PipelineSection, ledger: Ledger, lock: int, console: Console, jobs: int
) -> Reporter:
    """Let doit run the steps in the order in which they need each other."""
    reporter, running = Reporter(ledger, steps, console), Running()
    tasks = tasks_of(steps, pipeline.data, ledger, partial(execute, ledger=ledger, lock=lock, running=running))
    control = TaskControl(list(tasks.values()))
    control.process(None)
    if jobs == 1:
        runner = Runner(ledger.dependency(), reporter, continue_=True)
    else:
        runner = MThreadRunner(ledger.dependency(), reporter, continue_=True, num_process=jobs)
    try:
        runner.run_all(control.task_dispatcher())
    except BaseException:
        end(running)  # stages of other threads, which do not hear of it
        raise
    return reporter


def _check(step: Step, check: Callable[[Sequence[str]], None]) -> None:
    try:
        check(step.words)
    except InputError as error:
        raise InputError(f"pipeline.stages.{step.stage}.command: {error}") from error
