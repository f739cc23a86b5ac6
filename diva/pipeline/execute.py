"""Running one step, and noting it in the manifest before and after."""

import time
from datetime import UTC, datetime

from doit.exceptions import TaskFailed

from diva.pipeline.ledger import Ledger
from diva.pipeline.plan import Step
from diva.pipeline.process import Running, command_line, last_words, run_logged
from diva.pipeline.tasks import Fingerprints, made_from
from diva.results import installed_versions


def execute(step: Step, found: Fingerprints, *, ledger: Ledger, lock: int, running: Running) -> TaskFailed | None:
    """Run `step` in a process of its own, and return what went wrong.

    Args:
        found: fingerprints of its data.
        ledger: where the run is noted.
        lock, running: see `diva.pipeline.process.run_logged`.
    """
    step.folder.mkdir(parents=True, exist_ok=True)
    record = ledger[step.name]
    record.command, record.log, record.data = command_line(step.launcher, step.words), str(step.log), dict(found)
    record.state, record.reason, record.exit_status, record.seconds = "started", "", None, None
    record.started, record.versions = datetime.now(UTC), installed_versions()
    ledger.dump()
    begin = time.monotonic()
    try:
        record.exit_status = run_logged(record.command, step.log, lock, running)
    except OSError as error:
        return TaskFailed(f"{record.command[0]}: cannot be started ({error.strerror}); see pipeline.launcher")
    finally:
        record.seconds = time.monotonic() - begin
    if record.exit_status:
        return TaskFailed(f"ended with status {record.exit_status}: {last_words(step.log)}")
    lacking = [str(path) for path in step.makes if not path.exists()]
    if lacking:
        return TaskFailed(f"ended before it made {', '.join(lacking)}: {last_words(step.log)}")
    record.made_from = made_from(step, found, ledger)
    return None
