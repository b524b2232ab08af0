"""A buffer on a real file for tests: sources, readings, a loop to ask with, and what an independent look at the file says."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import cbor2

from edgegw.block import decode_block, decode_events, unpack
from edgegw.buffer.store import Buffer
from edgegw.clock import Clock
from edgegw.config.model import Store
from edgegw.model import Batch, ClockTrust, Event, Identity, Point, Quality, Reading, Source, Stream, Value

UPLINK = "cloud"
STREAMS = tuple(Stream)
# A condition that has not come true by then is not coming.
PATIENCE_S = 10.0


def source(source_id: int, width: int = 4, stream: Stream = Stream.TELEMETRY) -> Source:
    points = tuple(Point(f"p{position}", 1, "V", "measure") for position in range(width))
    return Source(source_id, f"METER-{source_id}", "electrical", 1000, points, "meter", stream)


METER, OTHER, ENERGY = source(1), source(2), source(3, stream=Stream.ENERGY)
SOURCES = (METER, OTHER, ENERGY)


def reading(of: Source, mono_ms: int, values: Sequence[Value] | None = None, *, offset_ms: int = 1_800_000_000_000, **more: Any) -> Reading:
    filled = tuple(values) if values is not None else tuple(mono_ms + position for position in range(len(of.points)))
    return Reading(of, mono_ms + offset_ms, mono_ms, more.get("clock", ClockTrust.SYNCHRONISED), filled, more.get("quality", {}))


def failed(of: Source, mono_ms: int) -> Reading:
    width = len(of.points)
    return reading(of, mono_ms, (None,) * width, quality=dict.fromkeys(range(width), Quality.OFFLINE))


def event(kind: str = "alarm", mono_ms: int = 0, **body: object) -> Event:
    return Event(kind, mono_ms + 1_800_000_000_000, mono_ms, ClockTrust.SYNCHRONISED, "METER-1", body)


def wait_for(what: str, condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"no {what} within {patience_s} s"
        time.sleep(0.002)
    return found


class Rig:
    """One start of the daemon's buffer."""

    def __init__(self, directory: Path, sources: Sequence[Source] = SOURCES, uplinks: Sequence[str] = (UPLINK,), **settings: Any) -> None:
        settings.setdefault("window_idle_s", 0.1)
        self.told: list[frozenset[int]] = []
        self.path = directory / "edgegw.db"
        filters, may_wait = settings.pop("filters", {}), settings.pop("may_wait", False)
        self.buffer = Buffer.open(directory, Clock(), Store(**settings), sources, uplinks, self.told.append, filters, may_wait=may_wait)

    def ask(self, method: str, *arguments: Any) -> Any:
        """Calls one of the asynchronous methods, as the uplink would from the loop."""

        async def call() -> Any:
            async with asyncio.timeout(PATIENCE_S):
                return await getattr(self.buffer, method)(*arguments)

        return asyncio.run(call())

    def next(self, after: int = 0, *, uplink: str = UPLINK, streams: Sequence[int] = STREAMS, up_to: int | None = None) -> Batch | None:
        return self.ask("next_batch", uplink, streams, after, up_to)

    def batches(self, *, uplink: str = UPLINK, streams: Sequence[int] = STREAMS) -> list[Batch]:
        """Everything that the uplink would be given now, in order."""

        async def drain() -> list[Batch]:
            found: list[Batch] = []
            while batch := await self.buffer.next_batch(uplink, streams, found[-1].block_id if found else 0):
                found.append(batch)
            return found

        return asyncio.run(drain())

    def confirm(self, batches: Sequence[Batch], uplink: str = UPLINK) -> int:
        return self.ask("receipt", uplink, [batch.identity for batch in batches])

    def settle(self) -> None:
        """Returns when everything accepted so far is sealed."""

        def is_quiet() -> bool:
            # In this order: what has left the queue is in the tail before it stops counting as waiting.
            return self.buffer._intake.waiting() == (0, 0) and self.buffer.status().tail_readings == 0

        self.buffer.seal_soon(0)
        wait_for("sealed tail", is_quiet)


@contextmanager
def running(directory: Path, sources: Sequence[Source] = SOURCES, uplinks: Sequence[str] = (UPLINK,), **settings: Any) -> Iterator[Rig]:
    rig = Rig(directory, sources, uplinks, **settings)
    try:
        yield rig
    finally:
        rig.buffer.close()


def look(path: Path, question: str, *values: object) -> list[tuple[Any, ...]]:
    """What another process would see: a connection of its own that only reads."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(question, values).fetchall()


def rows_of(batches: Sequence[Batch]) -> dict[tuple[int, int, int], tuple[int, int, int, tuple[Value, ...], dict[int, Quality]]]:
    """{(epoch, stream, sequence): (source, mono, wall, values, quality)} of all blocks; no identity twice."""
    rows: dict[tuple[int, int, int], Any] = {}
    for batch in batches:
        identity = batch.identity
        if identity.stream == Stream.EVENT:
            continue
        schema, opened = decode_block(batch.body, identity.first)
        assert batch.schema == schema
        assert len(opened) == identity.last - identity.first + 1
        for row in opened:
            key = (identity.epoch, identity.stream, row.seq)
            assert key not in rows
            rows[key] = (row.source_id, row.mono_ms, row.read_at_ms, row.values, row.quality)
    return rows


def is_stored(batch: Batch) -> bool:
    """False for what was sent from memory while the disk took nothing."""
    return cbor2.loads(unpack(batch.body))[-1] is not False


def events_of(batches: Sequence[Batch]) -> list[tuple[int, Event]]:
    """(sequence, event) of all event batches."""
    found: list[tuple[int, Event]] = []
    for batch in batches:
        if batch.identity.stream == Stream.EVENT:
            opened = decode_events(batch.body)
            assert len(opened) == batch.identity.last - batch.identity.first + 1
            found += enumerate(opened, batch.identity.first)
    return found


def interval(batch: Batch, first: int, last: int) -> Identity:
    return Identity(batch.identity.epoch, batch.identity.stream, first, last)
