"""Doing steps: each once those that it needs are done, several at once if asked, and the others after a failure."""

import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from diva.atomic import check_files_in
from diva.errors import printable
from diva.pipelines.data import absent_data
from diva.pipelines.manifest import Manifest, State, write_manifest
from diva.pipelines.plan import Step
from diva.pipelines.process import command_line, end, last_words, start_logged
from diva.pipelines.uptodate import Origins
from diva.progress import phase
from diva.results import installed_versions


@dataclass
class _Running:
    step: Step
    process: subprocess.Popen[bytes]
    made_from: str
    begun: float = field(default_factory=time.monotonic)


class Work:
    """Does the steps of a run, prints a line or two for each, and notes in the manifest what becomes of it.

    Attributes:
        ran, kept, failed: names of the steps that were run, were up to date, and are not done.
    """

    def __init__(self, manifest: Manifest, path: Path, lock: int, console: Console) -> None:
        """Prepare for steps of the manifest, which is written to `path`; their processes inherit the run's lock."""
        self.manifest, self._path, self._lock, self._console = manifest, path, lock, console
        self.ran: list[str] = []
        self.kept: list[str] = []
        self.failed: list[str] = []

    def do(self, steps: Sequence[Step], jobs: int = 1) -> None:
        """Do `steps`, of which those come first that others need; `jobs` may run at once.

        Raises:
            RunError: the manifest cannot be written.
        """
        origins, waiting, running = Origins(self.manifest), list(steps), dict[Future[int], _Running]()
        with ThreadPoolExecutor(jobs) as waiters, phase("steps") as progress:
            try:
                while waiting or running:
                    open_ = {step.name for step in (*waiting, *(each.step for each in running.values()))}
                    ready = (step for step in waiting if open_.isdisjoint(step.after))
                    step = next(ready, None) if len(running) < jobs else None
                    if step is not None:
                        waiting.remove(step)
                        started = self._begin(step, origins)
                        if started is not None:
                            running[waiters.submit(started.process.wait)] = started
                    else:
                        names = ", ".join(each.step.name for each in running.values())
                        progress.note = f"{len(steps) - len(waiting)} of {len(steps)}, {names}"
                        for ended in wait(running, return_when=FIRST_COMPLETED).done:
                            self._end(running.pop(ended), ended.result())
            except BaseException:
                end(each.process for each in running.values())
                raise

    def _begin(self, step: Step, origins: Origins) -> _Running | None:
        """Start the process of a step, unless it is up to date or something that it needs is not there."""
        obstacle = self._obstacle(step)
        if obstacle is not None:
            self._settle(step, *obstacle)
            return None
        if origins.up_to_date(step):
            self.kept.append(step.name)
            self._print(f"{step.name}: unchanged, {step.folder} is kept")
            return None
        self._print(f"{step.name}: diva {' '.join(step.words)}", "bold")
        self._print(f"  log: {step.log}", "dim")
        check_files_in(step.folder)
        step.folder.mkdir(parents=True, exist_ok=True)
        record = self.manifest.stages[step.name]
        record.state, record.reason, record.made_from = "started", "", ""
        record.command, record.log = command_line(step.launcher, step.words), str(step.log)
        record.data, record.versions = origins.data(step), installed_versions()
        record.started, record.exit_status, record.seconds = datetime.now(UTC), None, None
        write_manifest(self.manifest, self._path)
        made_from = origins.made_from(step)
        try:
            return _Running(step, start_logged(record.command, step.log, self._lock), made_from)
        except (OSError, ValueError) as error:  # ValueError: a NUL in a word
            program, why = record.command[0], error.strerror if isinstance(error, OSError) else str(error)
            self._settle(step, "failed", f"{program}: cannot be started ({why}); see pipeline.launcher")
            return None

    def _obstacle(self, step: Step) -> tuple[State, str] | None:
        """Return how a step stands that cannot begin, and why."""
        blockers = [name for name in step.after if name in self.failed]
        if blockers:
            return "blocked", f"needs {', '.join(blockers)}"
        lacking = [str(path) for path in step.needs if not path.exists()]
        if lacking:
            return "blocked", f"needs {', '.join(lacking)}, which an earlier step makes"
        absent = absent_data(step)
        return ("failed", "; ".join(absent)) if absent else None

    def _end(self, run: _Running, status: int) -> None:
        """Note how the process of a step ended."""
        step, record = run.step, self.manifest.stages[run.step.name]
        record.exit_status, record.seconds = status, time.monotonic() - run.begun
        lacking = [str(path) for path in step.makes if not path.exists()]
        if status:
            self._settle(step, "failed", f"ended with status {status}: {last_words(step.log)}")
        elif lacking:
            self._settle(step, "failed", f"ended before it made {', '.join(lacking)}: {last_words(step.log)}")
        else:
            record.made_from = run.made_from
            self._settle(step, "done")

    def _settle(self, step: Step, state: State, reason: str = "") -> None:
        record = self.manifest.stages[step.name]
        record.state, record.reason = state, reason
        write_manifest(self.manifest, self._path)
        if state == "done":
            self.ran.append(step.name)
            self._print(f"  {step.name}: done in {record.seconds or 0:.0f} s", "dim")
        else:
            self.failed.append(step.name)
            self._print(f"{step.name}: {state}: {reason}", "red")

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(Text(printable(text), style), soft_wrap=True)
