"""Commands that are stopped at any moment and started again: the same results, and nothing left over."""

import random
import signal
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.faults.crashes.commands import COMMANDS, Command, made, prepare
from tests.faults.crashes.counts import KILLS, STOPS, record
from tests.faults.crashes.process import Moment, Running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(36000)]
BUSY = "another command is at work there"
ENDED_BY_SIGTERM = 128 + signal.SIGTERM


class Whole(NamedTuple):
    """A command that was left alone.

    Attributes:
        made: what came out.
        lasted: in seconds.
        paths: how many it made on its way.
        sizes: of the files that it left, in bytes.
    """

    command: Command
    inputs: Path
    made: dict[str, Any]
    lasted: float
    paths: int
    sizes: list[int]

    def moment(self, chance: random.Random, number: int) -> Moment:
        """Draw when to strike: every other time while the command makes a file or a folder."""
        if number % 2:
            return Moment(paths=chance.randint(1, self.paths))
        return Moment(seconds=chance.uniform(0, self.lasted))

    def start(self, out: Path) -> Running:
        """Start the command, in a folder of its own."""
        out.parent.mkdir()
        return Running(self.command.line(self.inputs, out))

    def wrong(self, out: Path) -> str:
        """Start the command again as a user would, and return what is wrong with what comes out."""
        while True:
            status, said = Running(self.command.line(self.inputs, out, self.command.resume)).wait()
            if BUSY not in said:  # of a process that lost its parent
                break
            time.sleep(1)
        if status:
            return f"status {status}: {said}"
        found = made(self.command, out)
        return ", ".join(name for name in found | self.made if found.get(name) != self.made.get(name))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("crashes") / "inputs")


@pytest.fixture(scope="module", params=COMMANDS, ids=lambda each: each.name)
def whole(request: pytest.FixtureRequest, inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    command: Command = request.param
    out = tmp_path_factory.mktemp("whole") / "out"
    Running(["--version"]).wait()  # whatever is imported is imported now
    began = time.monotonic()
    running = Running(command.line(inputs, out))
    paths = running.strike(signal.SIGKILL, out.parent, Moment(), alone=False)
    status, said = running.wait()
    assert status == 0, said
    sizes = sorted({path.stat().st_size for path in out.rglob("*") if path.is_file()})
    return Whole(command, inputs, made(command, out), time.monotonic() - began, paths, sizes)


def complaint(said: str) -> str:
    """Return what is wrong with how a command ended: its last line is to be its own sentence."""
    lines = said.splitlines()
    return "" if lines and lines[-1].startswith("diva: ") and "Traceback" not in said else f"said {said}"


def left(out: Path) -> list[str]:
    """Return the temporary names and locks in and beside `out`."""
    return [path.name for path in out.parent.rglob(".*")]


def test_a_killed_command_makes_the_same_when_it_is_started_again(whole: Whole, tmp_path: Path) -> None:
    name, wrong = whole.command.name, {}
    chance, killed = random.Random(name), 0
    for number in range(KILLS[name]):
        out, moment = tmp_path / str(number) / "out", whole.moment(chance, number)
        running = whole.start(out)
        running.strike(signal.SIGKILL, out.parent, moment, alone=number % 4 > 1)
        killed += running.wait()[0] == -signal.SIGKILL
        if found := whole.wrong(out):
            wrong[number, moment] = found
    assert wrong == {}
    record(name, kills=KILLS[name], killed=killed)


def test_a_command_that_is_asked_to_end_says_so_and_goes_on_when_it_is_started_again(
    whole: Whole, tmp_path: Path
) -> None:
    name, wrong = whole.command.name, {}
    chance = random.Random(name)
    for number in range(STOPS):
        out, moment = tmp_path / str(number) / "out", whole.moment(chance, number)
        running = whole.start(out)
        running.strike(signal.SIGTERM, out.parent, moment, alone=number % 4 > 1)
        status, said = running.wait()
        remains = left(out)
        told = complaint(said) if status else ""
        again = whole.wrong(out)
        if status not in (0, ENDED_BY_SIGTERM) or told or remains or again:
            wrong[number, moment] = (status, told, remains, again)
    assert wrong == {}
    record(name, terminated=STOPS)


def test_a_command_that_finds_the_disk_full_says_so_and_goes_on_once_there_is_room(
    whole: Whole, tmp_path: Path
) -> None:
    name, wrong = whole.command.name, {}
    chance = random.Random(name)
    for number in range(STOPS):
        out, room = tmp_path / str(number) / "out", chance.choice(whole.sizes) - 1
        out.parent.mkdir()
        line = whole.command.line(whole.inputs, out, whole.command.single)
        status, said = Running(line, room=room).wait()
        remains = left(out)
        told, again = complaint(said), whole.wrong(out)
        if status != 1 or told or remains or again:
            wrong[number, room] = (status, told, remains, again)
    assert wrong == {}
    record(name, full=STOPS)


def test_of_two_commands_at_once_in_a_folder_one_is_refused(whole: Whole, tmp_path: Path) -> None:
    out = tmp_path / "room" / "out"
    first = whole.start(out)
    first.strike(signal.SIGCONT, out.parent, Moment(paths=2), alone=True)  # which stops nothing
    status, said = Running(whole.command.line(whole.inputs, out)).wait()
    assert first.wait()[0] == 0
    assert (status, BUSY in said) == ((0, False) if whole.command.shared else (2, True)), said
    assert made(whole.command, out) == whole.made
