"""What a command is doing, and how far it is: a bar on a terminal, elsewhere a plain line now and then.

Work says so with `phase` and `steps`; nothing is shown unless its caller asked for it with `reporting`. A phase of
less than two seconds is never mentioned.
"""

import os
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import IO, TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Item = TypeVar("Item")

SHORT = 2.0  # seconds that a phase may last unmentioned
EVERY = 9.5  # seconds between two plain lines on one phase: with a look at the clock 10 at most
TICK = 0.5  # seconds between two looks at the clock


class Phase:
    """Something that takes a while.

    Attributes:
        title: what is being done.
        total: the steps that it has; None where they cannot be counted.
        done: those that are done.
        note: what else there is to say of it now.
    """

    def __init__(self, title: str, total: int | None = None, done: int = 0) -> None:
        self.title, self.total, self.done, self.note = title, total, done, ""
        self.began = time.monotonic()
        self.bar: TaskID | None = None
        self._first = done

    def advance(self, steps: int = 1) -> None:
        """Note that further steps are done."""
        self.done += steps

    def line(self) -> str:
        """Return where it stands, in one line."""
        parts = [f"{self.title}: {self.done:,} of {self.total:,}" if self.total is not None else self.title]
        if self.note:
            parts.append(self.note)
        took = time.monotonic() - self.began
        parts.append(f"{_time(took)} so far")
        made = self.done - self._first
        if self.total is not None and made > 0 and self.done < self.total:
            parts.append(f"{_time(took / made * (self.total - self.done))} left")
        return ", ".join(parts)

    def last_line(self) -> str:
        """Return what is said at its end."""
        return f"{self.title}: done in {_time(time.monotonic() - self.began)}"


@contextmanager
def phase(title: str, total: int | None = None, *, done: int = 0) -> Iterator[Phase]:
    """Do the block as a phase, which is told of its steps; also a decorator."""
    current, reporter = Phase(title, total, done), _REPORTER.get()
    if reporter is None or reporter.process != os.getpid():  # a fork's reporter has no clock
        yield current
        return
    reporter.begin(current)
    try:
        yield current
    except BaseException:
        reporter.end(current, good=False)
        raise
    reporter.end(current, good=True)


def steps(items: Iterable[Item], title: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items`, each a step of a phase; `total` is their number where they have no length."""
    known = len(items) if total is None and isinstance(items, Sized) else total
    with phase(title, known) as current:
        for item in items:
            yield item
            current.advance()


@contextmanager
def reporting(stream: IO[str]) -> Iterator[None]:
    """Show on `stream` the phases that begin within the block; a terminal gets a bar, anything else plain lines."""
    reporter = _Reporter(stream)
    token = _REPORTER.set(reporter)
    try:
        yield
    finally:
        _REPORTER.reset(token)
        reporter.close()


class _Reporter:
    """Mentions the phases that have lasted a while; a thread of its own looks at the clock."""

    def __init__(self, stream: IO[str]) -> None:
        self.process, self._stream = os.getpid(), stream
        self._phases: list[Phase] = []
        self._said, self._mentioned = -EVERY, set[str]()  # of the phase at hand and of those within it
        self._bars: Progress | None = None
        self._lock, self._closed = threading.RLock(), threading.Event()
        self._clock = threading.Thread(target=self._watch, daemon=True)
        self._clock.start()

    def begin(self, current: Phase) -> None:
        with self._lock:
            self._phases.append(current)

    def end(self, current: Phase, *, good: bool) -> None:
        with self._lock:
            if current not in self._phases:  # a generator that outlived the block in which phases are shown
                return
            self._phases.remove(current)
            if self._bars is not None and current.bar is not None:
                self._bars.remove_task(current.bar)
            if not self._phases:
                self._stop_bars()
                if current.title in self._mentioned:
                    self._print(current.last_line() if good else f"{current.line()}, not finished")
                self._mentioned.clear()

    def close(self) -> None:
        self._closed.set()
        self._clock.join(EVERY)
        with self._lock:
            self._phases.clear()
            self._stop_bars()

    def _watch(self) -> None:
        while not self._closed.wait(TICK):
            with self._lock:
                self._look(time.monotonic())

    def _look(self, now: float) -> None:
        long = [each for each in self._phases if now - each.began >= SHORT]
        if not long:
            return
        if self._stream.isatty():
            for each in long:
                self._draw(each)
        elif now - self._said >= EVERY or long[-1].title not in self._mentioned:
            self._said = now
            self._mentioned |= {each.title for each in long}
            self._print("; ".join(each.line() for each in long))

    def _draw(self, current: Phase) -> None:
        if self._bars is None:
            self._bars = _new_bars(self._stream)
            self._bars.start()
        if current.bar is None:
            current.bar = self._bars.add_task("", note="")
        self._bars.update(
            current.bar,
            description=current.title,
            total=current.total,
            completed=current.done,
            note=current.note,
            refresh=True,
        )

    def _stop_bars(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def _print(self, line: str) -> None:
        try:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        except OSError:  # nobody reads any more, or the log's disk is full: the work goes on
            self._closed.set()


_REPORTER: ContextVar[_Reporter | None] = ContextVar("reporter", default=None)


def _new_bars(stream: IO[str]) -> "Progress":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(file=stream),
        transient=True,
    )


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else str(timedelta(seconds=round(seconds)))
