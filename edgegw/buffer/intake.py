"""The queue between the loop and the writer's thread: bounded, never waiting, and honest about what it had to drop.

When the disk is too slow or gone, the oldest telemetry goes first; events, energy and states wait on.
"""

from __future__ import annotations

import logging
import math
import sqlite3
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from time import monotonic
from typing import Any, NamedTuple, TypeVar

import msgspec

from edgegw.model import Event, Reading, Stream

_log = logging.getLogger("edgegw.buffer")

# Promise 2: committed at most 50 ms after the answer; the rest is for waking up and writing.
COMMIT_AFTER_S = 0.035
# Readings of one transaction: a queue that has filled is worked off in steps, so that an event never waits for all of it.
GROUP_READINGS_MAX = 2_000
# Events and energy readings that may wait while the disk is gone: years of energy, days of an alarm storm, 50 MB at most.
KEPT_MAX = 50_000
# A queue that stays full tells its losses this often; else when it is half empty again.
LOSS_EVERY_S = 60.0

T = TypeVar("T")
_DROPPABLE = frozenset({Stream.TELEMETRY, Stream.THINNED})


class Package(NamedTuple):
    """What one call accepted and one transaction must hold."""

    readings: Sequence[Reading]
    events: Sequence[Event]
    states: Mapping[str, bytes | None]
    at_s: float


class _Kept:
    """What was left of packages whose telemetry was dropped: one transaction, ahead of all that wait."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.events: list[Event] = []
        self.states: dict[str, bytes | None] = {}
        self.at_s = math.inf

    def add(self, package: Package) -> int:
        """Returns how many events and readings went beyond KEPT_MAX, the oldest first."""
        self.readings += [reading for reading in package.readings if reading.source.stream not in _DROPPABLE]
        self.events += package.events
        self.states.update(package.states)
        self.at_s = min(self.at_s, package.at_s)
        excess = max(0, len(self.readings) - KEPT_MAX), max(0, len(self.events) - KEPT_MAX)
        del self.readings[: excess[0]], self.events[: excess[1]]
        return sum(excess)


class Dropped(msgspec.Struct):
    """What the queue had no room for since the last report."""

    readings: Counter[int]
    """How many of each source."""
    others: int
    """Events and energy readings."""
    from_ms: int
    to_ms: int
    since_s: float


class Job(NamedTuple):
    """A question to the writer's thread."""

    work: Callable[[sqlite3.Connection], Any]
    offline: Callable[[], Any]
    """The same while there is no database to ask."""
    stalled: Callable[[], Any] | None
    """The same from another thread, while the disk holds the writer up; None: it has to wait."""
    answer: Future[Any]


class Intake:
    """All methods may be called from any thread."""

    def __init__(self, readings_max: int) -> None:
        self._readings_max = readings_max
        self._changed = threading.Condition()
        self._packages: deque[Package] = deque()
        self._kept = _Kept()
        self._readings = 0
        self._in_hand: list[Package] = []
        self._jobs: deque[Job] = deque()
        self._dropped: Dropped | None = None
        self._urgent = False
        self._woken = False
        self.dropped_total = 0
        self.stopping = False

    def put(self, package: Package, *, urgent: bool) -> None:
        """Never waits. Raises RuntimeError when the writer has ended."""
        with self._changed:
            if self.stopping:
                raise RuntimeError("the buffer is closed")
            self._make_room(len(package.readings))
            first = not self._packages
            self._packages.append(package)
            self._readings += len(package.readings)
            self._urgent = self._urgent or urgent
            if first or urgent:
                self._changed.notify()

    def ask(self, work: Callable[[sqlite3.Connection], T], offline: Callable[[], T], stalled: Callable[[], T] | None = None) -> Future[T]:
        """Raises RuntimeError when the writer has ended."""
        answer: Future[T] = Future()
        with self._changed:
            if self.stopping:
                raise RuntimeError("the buffer is closed")
            self._jobs.append(Job(work, offline, stalled, answer))
            self._changed.notify()
        return answer

    def wake(self) -> None:
        """The writer looks at its deadlines again."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self.stopping = True
            self._changed.notify()

    def wait(self, until_s: float, *, for_packages: bool) -> None:
        """Returns at `until_s`, or when there is something to do before."""
        with self._changed:
            while not (self._jobs or self.stopping or self._woken or (for_packages and self._urgent)):
                due_s = min(until_s, self._due_s()) if for_packages else until_s
                left_s = due_s - monotonic()
                if left_s <= 0:
                    break
                self._changed.wait(left_s)
            self._woken = False

    def is_due(self, now_s: float) -> bool:
        with self._changed:
            return self._urgent or self._due_s() <= now_s

    def take(self) -> list[Package]:
        """The oldest packages, whole; what remains is due at once."""
        taken = []
        with self._changed:
            kept = self._kept
            if kept.at_s != math.inf:
                taken.append(Package(kept.readings, kept.events, kept.states, kept.at_s))
                self._kept = _Kept()
            count = 0
            while self._packages and count < GROUP_READINGS_MAX:
                taken.append(self._packages.popleft())
                count += len(taken[-1].readings)
            self._readings -= sum(len(package.readings) for package in taken)
            self._urgent = self._urgent and bool(self._packages)
            self._in_hand += taken
        return taken

    def settled(self) -> None:
        """What was taken counts elsewhere now."""
        self._in_hand = []

    def take_jobs(self) -> list[Job]:
        with self._changed:
            jobs = list(self._jobs)
            self._jobs.clear()
        return jobs

    def take_stalled_jobs(self) -> list[Job]:
        """Those that can be answered without the writer."""
        with self._changed:
            taken = [job for job in self._jobs if job.stalled is not None]
            self._jobs = deque(job for job in self._jobs if job.stalled is None)
        return taken

    def take_dropped(self, now_s: float) -> Dropped | None:
        """What was dropped, once the queue moves again."""
        with self._changed:
            dropped = self._dropped
            if dropped is None or (self._readings > self._readings_max // 2 and now_s - dropped.since_s < LOSS_EVERY_S):
                return None
            self._dropped = None
        _log.warning("the queue moves again; %d readings were dropped", dropped.readings.total())
        return dropped

    @property
    def readings(self) -> int:
        return self._readings

    @property
    def is_empty(self) -> bool:
        return not self._packages and self._kept.at_s == math.inf

    def waiting(self) -> tuple[int, int]:
        """Values and events that wait. Walks the queue: for a status, not for every reading."""
        with self._changed:
            parts: tuple[Package | _Kept, ...] = (self._kept, *self._packages, *self._in_hand)
            return sum(len(reading.values) for part in parts for reading in part.readings), sum(len(part.events) for part in parts)

    def _due_s(self) -> float:
        oldest_s = min(self._kept.at_s, self._packages[0].at_s if self._packages else math.inf)
        return oldest_s + COMMIT_AFTER_S

    def _make_room(self, coming: int) -> None:
        while self._packages and self._readings + coming > self._readings_max:
            package = self._packages.popleft()
            gone = [reading for reading in package.readings if reading.source.stream in _DROPPABLE]
            dropped = self._note(gone)
            if len(gone) < len(package.readings) or package.events or package.states:
                before = len(self._kept.readings)
                dropped.others += self._kept.add(package)
                self._readings -= before + len(package.readings) - len(gone) - len(self._kept.readings)

    def _note(self, gone: list[Reading]) -> Dropped:
        if self._dropped is None:
            _log.warning("the disk does not keep up: %d readings wait, the oldest telemetry is dropped", self._readings)
            self._dropped = Dropped(Counter(), 0, 0, 0, monotonic())
        dropped = self._dropped
        if gone:
            dropped.from_ms = dropped.from_ms or gone[0].read_at_ms
            dropped.to_ms = gone[-1].read_at_ms
        dropped.readings.update(reading.source.source_id for reading in gone)
        self.dropped_total += len(gone)
        self._readings -= len(gone)
        return dropped
