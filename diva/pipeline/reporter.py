"""What doit tells of a run, for the terminal and for the manifest."""

from collections.abc import Mapping, Sequence

from doit.exceptions import BaseFail, DependencyError, UnmetDependency
from doit.reporter import ZeroReporter
from doit.task import Task
from rich.console import Console
from rich.text import Text

from diva.pipeline.ledger import Ledger
from diva.pipeline.plan import Step


class Reporter(ZeroReporter):
    """Prints a line for each step, and writes the manifest whenever one has ended.

    Attributes:
        ran, kept, failed: names of the steps that were run, were up to date, and are not done.
    """

    def __init__(self, ledger: Ledger, steps: Sequence[Step], console: Console) -> None:
        """Prepare for a run of `steps`, which the ledger knows."""
        self.ledger, self.console = ledger, console
        self.steps: Mapping[str, Step] = {step.name: step for step in steps}
        self.ran: list[str] = []
        self.kept: list[str] = []
        self.failed: list[str] = []

    def execute_task(self, task: Task) -> None:
        """Say that a step begins, and what it runs."""
        step = self.steps[task.name]
        self._print(f"{task.name}: diva {' '.join(step.words)}", "bold")
        self._print(f"  log: {step.log}", "dim")

    def add_success(self, task: Task) -> None:
        """Note that a step is done; doit has put its proof into the ledger."""
        self.ran.append(task.name)
        record = self.ledger[task.name]
        record.state, record.reason = "done", ""
        self.ledger.dump()
        self._print(f"  done in {record.seconds or 0:.0f} s", "dim")

    def add_failure(self, task: Task, fail: BaseFail) -> None:
        """Note that a step failed or cannot begin."""
        self.failed.append(task.name)
        record = self.ledger[task.name]
        if isinstance(fail, UnmetDependency):
            record.state, record.reason = "blocked", f"needs {fail.message.replace(' ', ', ')}"
        elif isinstance(fail, DependencyError):
            absent = [str(path) for path in self.steps[task.name].needs if not path.exists()]
            record.state, record.reason = "blocked", f"needs {', '.join(absent)}, which an earlier stage makes"
        else:
            record.state, record.reason = "failed", fail.message
        self.ledger.dump()
        self._print(f"{task.name}: {record.state}: {record.reason}", "red")

    def skip_uptodate(self, task: Task) -> None:
        """Say that a step is kept as it is."""
        self.kept.append(task.name)
        self._print(f"{task.name}: unchanged, {self.steps[task.name].folder} is kept")

    def _print(self, text: str, style: str = "") -> None:
        self.console.print(Text(text, style), soft_wrap=True)
