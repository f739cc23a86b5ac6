"""Commands that are killed at any moment and started again: the same results, and nothing left over."""

import json
import random
import signal
import time
from pathlib import Path

import pytest

from tests.faults.crashes.commands import COMMANDS, Command, digests, finish, interrupt, litter, prepare, start
from tests.faults.crashes.counts import COUNTS, KILLS


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: each.name)
def test_a_killed_command_makes_the_same_files_when_it_is_started_again(command: Command, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "inputs")
    began = time.monotonic()
    finish(command, folder, tmp_path / "whole")
    lasted, expected = time.monotonic() - began, digests(command, tmp_path / "whole")
    assert expected
    moments, killed = random.Random(command.name), 0
    for number in range(KILLS[command.name]):
        out = tmp_path / str(number) / "out"
        out.parent.mkdir()
        killed += interrupt(command, folder, out, moments.uniform(0, lasted), signal.SIGKILL)
        finish(command, folder, out, again=True)
        assert digests(command, out) == expected
        assert litter(out) == []
    counts = json.loads(COUNTS.read_text()) if COUNTS.is_file() else {}
    counts[command.name] = {"started": KILLS[command.name], "killed": killed, "equal": KILLS[command.name]}
    COUNTS.write_text(json.dumps(counts, indent=1, sort_keys=True) + "\n")


@pytest.mark.slow  # a minute; tests/training/test_run.py has a kill within a run
def test_a_training_that_is_killed_once_goes_on_to_the_same_tower(tmp_path: Path) -> None:
    command = COMMANDS[0]
    folder = prepare(tmp_path / "inputs")
    finish(command, folder, tmp_path / "whole")
    out = tmp_path / "out"
    running = start(command, folder, out)
    while not list(out.glob("checkpoints/step-*")):
        assert running.poll() is None, running.communicate()
        time.sleep(0.02)
    running.kill()
    running.communicate()
    finish(command, folder, out, again=True)
    assert digests(command, out) == digests(command, tmp_path / "whole")
    assert litter(out) == []
