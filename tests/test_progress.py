"""What a command says of long work: seen through a stream, with a clock that runs fast."""

import io
import os
import re
import threading
import time

import pytest

from diva import progress
from diva.progress import phase, reporting, steps


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SHORT", 0.1)
    monkeypatch.setattr(progress, "EVERY", 60)  # however slow the machine is
    monkeypatch.setattr(progress, "TICK", 0.01)


def test_a_short_phase_is_not_mentioned() -> None:
    stream = io.StringIO()
    with reporting(stream), phase("reading"):
        pass
    assert stream.getvalue() == ""


def test_a_long_one_says_where_it_is_now_and_then_and_how_long_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.2)
    stream = io.StringIO()
    with reporting(stream):
        for _ in steps(range(10), "looking"):
            time.sleep(0.05)
    *on_the_way, last = stream.getvalue().splitlines()
    assert 2 <= len(on_the_way) < 10  # half a second or more, a line every 0.2 s
    assert all(re.fullmatch(r"looking: \d+ of 10, \d s so far(, \d s left)?", line) for line in on_the_way)
    assert re.fullmatch(r"looking: done in \d s", last)


def test_a_line_names_what_is_done_and_what_of_it_now() -> None:
    stream = io.StringIO()
    with reporting(stream), phase("training", 5) as outer:
        outer.note = "loss 0.5"
        with phase("writing a checkpoint"):
            time.sleep(0.15)
    assert stream.getvalue().splitlines() == [
        "training: 0 of 5, loss 0.5, 0 s so far; writing a checkpoint, 0 s so far",
        "training: done in 0 s",
    ]


def test_a_failed_phase_says_where_it_stood() -> None:
    stream = io.StringIO()
    with reporting(stream), pytest.raises(ZeroDivisionError), phase("loading"):
        _ = time.sleep(0.15) or 1 / 0
    assert stream.getvalue() == "loading, 0 s so far\nloading, 0 s so far, not finished\n"


def test_a_terminal_gets_a_bar_that_is_gone_at_the_end() -> None:
    stream = Terminal()
    with reporting(stream):
        for _ in steps(range(5), "drawing [x]"):
            time.sleep(0.05)
    assert "drawing [x]" in stream.getvalue()
    assert "done in" not in stream.getvalue()


def test_nothing_is_shown_that_nobody_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    threads = threading.active_count()
    for _ in steps(range(5), "drawing"):
        time.sleep(0.05)
    assert capfd.readouterr() == ("", "")
    assert threading.active_count() <= threads  # one of an earlier test may have ended


def test_a_fork_stays_silent_in_place_of_waiting_for_a_clock_that_it_has_not() -> None:
    with reporting(io.StringIO()):
        child = os.fork()
        if child == 0:
            with phase("in a worker"):
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_work_goes_on_where_nobody_reads_how_far_it_is() -> None:
    class Broken(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    with reporting(Broken()):
        for number in range(2):
            with phase(f"long {number}"):
                time.sleep(0.15)


def test_a_generator_that_outlives_the_block_ends_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    with reporting(io.StringIO()):
        later = steps(range(3), "counted")
        next(later)
    later.close()
    assert capfd.readouterr().err == ""
