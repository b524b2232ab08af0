"""The store under the reference station (519 points): bytes a value in the file, bytes and syncs a day on the disk.

Bytes a value: an hour of readings, sealed in windows of 10 s, before and after joining; rows and indexes of the blocks count. Bytes and syncs
a day: the same readings in real time, commit by commit, as the kernel counts what this process has caused to be written. Values walk: half
of the points by one step now and then, a tenth in noise, the others stand still.
"""

from __future__ import annotations

import heapq
import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from edgegw.buffer.store import Buffer
from edgegw.buffer.wear import DAY_S, written_bytes
from edgegw.clock import Clock
from edgegw.config.model import Store
from edgegw.model import ClockTrust, Point, Reading, Source, Stream
from tests.bench.bench_station import file_bytes_a_value
from tests.bench.marks import Figure

WINDOW_S = 10
HOUR_MS = 3_600_000
WARM_S = 5.0
MEASURED_S = 120.0
WALL_MS = 1_800_000_000_000


class Polled(NamedTuple):
    """Sources of one kind on one bus."""

    bus: str
    period_ms: int
    widths: list[int]
    stream: Stream = Stream.TELEMETRY


# The reference station: buses, periods and points of each poll.
STATION = [
    Polled("com1", 5_000, [27, 27, 27, 27, 6]),
    Polled("com2", 5_000, [6] * 8),
    Polled("com3", 5_000, [3] * 4),
    Polled("com4", 500, [9]),
    Polled("com4", 10_000, [2] * 6 + [8]),
    Polled("tcp", 1_000, [5] * 2 + [2] * 8),
    Polled("tcp", 5_000, [12] * 2 + [4] * 8),
    Polled("ups", 2_000, [15]),
    Polled("pv", 5_000, [24]),
    Polled("pv", 30_000, [20]),
    Polled("com1", 60_000, [2] * 5),
    Polled("com2", 60_000, [2] * 8),
    Polled("com3", 60_000, [2] * 4),
    Polled("com4", 60_000, [1] * 9),
    Polled("tcp", 60_000, [1] * 5),
    Polled("self", 60_000, [19]),
    Polled("com1", 900_000, [8, 8, 14, 8, 5], Stream.ENERGY),
    Polled("com2", 900_000, [5] * 8, Stream.ENERGY),
    Polled("com3", 900_000, [5] * 4, Stream.ENERGY),
    Polled("pv", 300_000, [3], Stream.ENERGY),
]
# Between two polls of one bus: serial lines ask one after the other, TCP devices together.
_SPACING_MS = {"com1": 140, "com2": 80, "com3": 75, "com4": 60, "ups": 260, "tcp": 2, "pv": 50, "self": 1}


class Station:
    """Readings in the order of their times, for ever."""

    def __init__(self) -> None:
        self._dice = random.Random(1)
        self.sources: list[Source] = []
        self._due: list[tuple[int, int]] = []
        polls: dict[str, int] = {}
        for kind in STATION:
            for width in kind.widths:
                index = len(self.sources)
                points = tuple(Point(f"p{position}", 1, "V", "measure") for position in range(width))
                self.sources.append(Source(index + 1, f"D-{index + 1}", "", kind.period_ms, points, "meter", kind.stream))
                polls[kind.bus] = polls.get(kind.bus, 0) + 1
                heapq.heappush(self._due, (polls[kind.bus] * _SPACING_MS[kind.bus] % kind.period_ms, index))
        self._values = [[self._dice.randrange(2000, 2400) for _ in source.points] for source in self.sources]
        self._kinds = [[self._dice.random() for _ in source.points] for source in self.sources]

    def next(self) -> tuple[int, Source, tuple[int, ...]]:
        """(due time in ms, source, values) of the next poll."""
        due_ms, index = self._due[0]
        source = self.sources[index]
        heapq.heapreplace(self._due, (due_ms + source.period_ms, index))
        values = self._values[index]
        for position, kind in enumerate(self._kinds[index]):
            if kind < 0.5:
                values[position] += self._dice.choice((-1, 0, 0, 1))
            elif kind < 0.6:
                values[position] += self._dice.randrange(-9, 10)
        # An answer comes a few milliseconds early or late.
        return due_ms + self._dice.randrange(4), source, tuple(values)


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as directory:
        yield from measured_sizes(Path(directory))
    with tempfile.TemporaryDirectory() as directory:
        yield from measured_wear(Path(directory))


def measured_sizes(directory: Path) -> Iterator[Figure]:
    station = Station()
    clock = Clock()
    buffer = Buffer.open(directory, clock, Store(window_idle_s=3600), station.sources, ["cloud"], lambda _: None)
    # Joins are done here, after the first look at the file.
    buffer._writer.transactions._join_s = float("inf")
    window: list[Reading] = []
    due_ms = 0
    while due_ms < HOUR_MS:
        due_ms, source, values = station.next()
        window.append(Reading(source, WALL_MS + due_ms, due_ms, ClockTrust.SYNCHRONISED, values))
        if due_ms // 1000 // WINDOW_S != window[0].mono_ms // 1000 // WINDOW_S:
            wait_until_sealed(buffer, window)
            window.clear()
    path = directory / "edgegw.db"
    yield Figure("P9b", "bytes a value in the file, not joined", _after_checkpoint(buffer, path), "B")
    joins = buffer._intake.ask(lambda connection: sum(iter(lambda: int(buffer._writer.transactions._join_some(connection)), 0)), lambda: 0).result(600)
    yield Figure("P9a", "the same, joined", _after_checkpoint(buffer, path), "B")
    yield Figure("", "joins in an hour", joins)
    buffer.close()


def wait_until_sealed(buffer: Buffer, readings: list[Reading]) -> None:
    sealed = buffer.status().blocks
    buffer.accept(list(readings))
    buffer.seal_soon(0)
    deadline_s = time.monotonic() + 10
    while buffer.status().blocks == sealed or buffer.status().tail_readings or buffer.status().queue_readings:
        assert time.monotonic() < deadline_s, "nothing is sealed"
        time.sleep(0.001)


def wait_for_poll(clock: Clock, began_ms: int, due_ms: int) -> int:
    """Returns the time since the beginning."""
    while (now_ms := clock.mono_ms() - began_ms) < due_ms:
        time.sleep((due_ms - now_ms) / 1000)
    return now_ms


def _after_checkpoint(buffer: Buffer, path: Path) -> float:
    buffer._intake.ask(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall(), list).result(60)
    return file_bytes_a_value(path)


def measured_wear(directory: Path) -> Iterator[Figure]:
    station = Station()
    clock = Clock()
    clock.trust = ClockTrust.SYNCHRONISED
    buffer = Buffer.open(directory, clock, Store(window_idle_s=WINDOW_S), station.sources, ["cloud"], lambda _: None)
    began_ms = clock.mono_ms()
    before = None
    values = 0
    while True:
        due_ms, source, row = station.next()
        now_ms = wait_for_poll(clock, began_ms, due_ms)
        if before is None and now_ms >= WARM_S * 1000:
            before = (time.monotonic(), written_bytes(), buffer.status())
            values = 0
        if before is not None and time.monotonic() - before[0] >= MEASURED_S:
            break
        mono_ms = clock.mono_ms()
        buffer.accept([Reading(source, clock.wall_ms(mono_ms), mono_ms, ClockTrust.SYNCHRONISED, row)])
        values += len(row)
    began_s, bytes_before, status_before = before
    share = DAY_S / (time.monotonic() - began_s)
    status = buffer.status()
    # The quarter hour's energy is not in these two minutes: its groups are synced at once, one bus after the other.
    energy_syncs = sum(len(kind.widths) * HOUR_MS // kind.period_ms * 24 for kind in STATION if kind.stream is Stream.ENERGY)
    yield Figure("", "values a second", values / (time.monotonic() - began_s), "1/s")
    yield Figure("", "commits a second", (status.commits - status_before.commits) * share / DAY_S, "1/s")
    yield Figure("", "GB written a day (budget 1.5)", (written_bytes() - bytes_before) * share / 1e9, "GB")
    yield Figure("", "syncs a day (budget 90,000), energy apart", (status.syncs - status_before.syncs) * share)
    yield Figure("", "syncs a day for energy, at most", energy_syncs)
    buffer.close()
    with closing(sqlite3.connect(directory / "edgegw.db")) as database:
        yield Figure("", "blocks", database.execute("SELECT count(*) FROM block").fetchone()[0])
