"""The buffer: everything that was accepted, until every cloud has confirmed it (docs/buffer.md).

    accept() ─► queue ─► writer's thread: one commit a group ─► tail rows ─► sealed blocks ─► next_batch()
                                                                                   ▲              │
                                                                               receipts ◄─────────┘

`accept`, `set_window_ms`, `seal_soon` and `status` return at once. The asynchronous methods run on the writer's thread, one after the
other, and return through the loop. `on_synced(streams)` is called on the writer's thread when there is something new to send; it must
be quick and thread-safe (`loop.call_soon_threadsafe`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from typing import TypeVar

from edgegw.buffer import losses
from edgegw.buffer.adopting import Adopted, Adoption
from edgegw.buffer.attaching import Attaching, in_memory
from edgegw.buffer.database import FILE_NAME, Opened, checkpoint, file_bytes, is_damage, open_database
from edgegw.buffer.epochs import Previous, load_epochs
from edgegw.buffer.filtering import STATE_KEY, Filters
from edgegw.buffer.instance import InstanceLock
from edgegw.buffer.intake import Intake, Package
from edgegw.buffer.ledger import Ledger, load_ledger
from edgegw.buffer.limits import Limits, limits_of
from edgegw.buffer.loading import schema_of
from edgegw.buffer.outgoing import Outgoing
from edgegw.buffer.retention import Ages
from edgegw.buffer.rows import encode_event
from edgegw.buffer.space import Space
from edgegw.buffer.status import BufferStatus, Unsent
from edgegw.buffer.transactions import Parts
from edgegw.buffer.uplinks import load_uplink
from edgegw.buffer.wear import Meter
from edgegw.buffer.windows import Windows
from edgegw.buffer.writer import Writer
from edgegw.clock import Clock
from edgegw.config.model import Store
from edgegw.errors import EXIT_STORE, EdgegwError
from edgegw.model import Batch, Event, Identity, Quality, Reading, Source, Stream

_log = logging.getLogger("edgegw.buffer")

# The daemon ends within 10 s; what was committed by then is in the tail and is sealed at the next start.
CLOSE_S_MAX = 5.0

_OWN_STATES = "buffer/"
_NOTHING: Mapping[str, bytes | None] = MappingProxyType({})
T = TypeVar("T")
OutgoingOf = Callable[[sqlite3.Connection, Ledger], Outgoing]


class Buffer:
    """Made by `Buffer.open`, ended by `close`."""

    def __init__(self, path: Path, lock: InstanceLock, set_aside: Path | None, sources: Sequence[Source], writer: Writer) -> None:
        ledger = writer.parts.ledger
        self.epoch: int = ledger.current.epoch
        """Random id of this start, base of its monotonic times."""
        self.previous: Previous | None = ledger.epochs.previous(ledger.current.number)
        """The start before this one, None when the file knows none."""
        self.set_aside = set_aside
        """Where a damaged file lies that was found at the start."""
        self._path = path
        self._lock = lock
        self._widths = {source.source_id: len(source.points) for source in sources}
        self._writer = writer
        self._intake = writer.parts.intake
        self._outgoing = writer.parts.outgoing

    @classmethod
    def open(  # noqa: PLR0913, PLR0917 - all that the daemon has for it
        cls,
        directory: Path,
        clock: Clock,
        settings: Store,
        sources: Sequence[Source],
        uplinks: Sequence[str],
        on_synced: Callable[[frozenset[int]], None],
        filters: Mapping[str, Sequence[str]] = MappingProxyType({}),
        *,
        may_wait: bool = False,
    ) -> Buffer:
        """Blocking; before the loop runs. Raises EdgegwError: E-RUN-SECOND, E-STORE-NEWER, E-STORE-OPEN.

        `may_wait`: a store that cannot be opened is no refusal. Everything goes on from memory, and it is tried again.
        """
        chosen = {name: filters.get(name, ()) for name in uplinks}

        def outgoing_of(connection: sqlite3.Connection, ledger: Ledger) -> Outgoing:
            found = Filters(chosen, ledger.states.get(STATE_KEY), ledger.current.number)
            ledger.states[STATE_KEY] = found.document()
            return Outgoing(ledger, [load_uplink(connection, name) for name in uplinks], found)

        path = directory / FILE_NAME
        lock = InstanceLock(directory)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock.acquire()
            limits = limits_of(directory, settings.max_size_mib)
            space = Space(directory, limits)
            space.look(may_make=False)
            opened, ledger, outgoing = _load(path, limits, clock, sources, outgoing_of)
            refusal = None
        except (OSError, sqlite3.Error, EdgegwError) as fault:
            refusal = fault if isinstance(fault, EdgegwError) else _refusal(path, fault)
            if not may_wait or refusal.message_id != "E-STORE-OPEN":
                lock.release()
                raise refusal from fault.__cause__ or fault
            _log.error("E-STORE-OPEN: %s; everything goes on from memory: %s", refusal.text, refusal.next_step)
            limits = limits_of(next(part for part in (directory, *directory.parents) if os.path.exists(part)), settings.max_size_mib)  # noqa: PTH110 - no fault
            space, opened = Space(directory, limits), None
            ledger, outgoing = in_memory(lambda connection: _read(connection, clock, sources, outgoing_of))
        meter = Meter(settings.written_mb_a_day_max * 1_000_000, monotonic())
        intake, windows = Intake(settings.queue_readings_max), Windows(settings.window_idle_s)
        writer = Writer(path, Parts(clock, intake, ledger, outgoing, windows, space, _ages_of(settings), meter, on_synced))
        buffer = cls(path, lock, opened.set_aside if opened else None, sources, writer)
        if opened:
            writer.start(opened.connection)
        else:
            writer.start_without(Attaching(directory, lock, chosen), str(refusal))
        return buffer

    # -- from the loop, at once

    def accept(self, readings: Sequence[Reading], events: Sequence[Event] = (), states: Mapping[str, bytes | None] = _NOTHING) -> None:
        """Takes these over; one transaction holds all of one call. ValueError or TypeError: a reading or event that is none; nothing of the call is taken."""
        for reading in readings:
            self._check(reading)
        for event in events:
            encode_event(event)
        urgent = bool(events) or any(reading.source.stream == Stream.ENERGY for reading in readings)
        self._intake.put(Package(tuple(readings), tuple(events), dict(states), monotonic()), urgent=urgent)

    def set_window_ms(self, window_ms: int) -> None:
        """How long readings wait to be sealed and sent."""
        self._writer.parts.windows.window_s = window_ms / 1000
        self._intake.wake()

    def seal_soon(self, delay_ms: int = 250) -> None:
        """The next block is sealed this long after now or after its first reading, whichever is later: for a start or a reconnect."""
        self._writer.parts.windows.seal_soon(monotonic(), delay_ms / 1000)
        self._intake.wake()

    def correct_clock(self) -> None:
        """The wall clock was set for the first time in this start: what was read before gets the time that is known now (docs/buffer.md)."""
        clock = self._writer.parts.clock
        self._writer.transactions.correct_clock(clock.offset_ms, clock.mono_ms())
        self._intake.wake()

    def states(self, prefix: str = "") -> dict[str, bytes]:
        """What the rules left at their last commit, without what is the buffer's own. For the start, before anything is accepted."""
        return {key: value for key, value in self._writer.parts.ledger.states.items() if key.startswith(prefix) and not key.startswith(_OWN_STATES)}

    @property
    def checkpoint_ms(self) -> int:
        """Monotonic ms of the clock at which the writer's thread was last alive. A disk that stalls it is no fault of the daemon; a thread that ended is."""
        return self._writer.parts.clock.mono_ms() if self._writer.is_alive else self._writer.turned_ms

    @property
    def trouble(self) -> str:
        """What keeps the disk from taking anything, when it did not pass at the first try; else empty."""
        return self._writer.trouble

    def status(self) -> BufferStatus:
        writer = self._writer
        queue_values, queue_events = self._intake.waiting()
        tail, counts, wear = writer.tail, writer.transactions.counts, writer.parts.meter.wear()
        return BufferStatus(
            epoch=f"{self.epoch:016x}",
            writing=not writer.fault,
            last_error=writer.fault,
            file_bytes=file_bytes(self._path),
            bytes_max=writer.parts.space.limits.bytes_max,
            queue_readings=self._intake.readings,
            tail_readings=tail.readings,
            commits=counts.commits,
            syncs=counts.syncs,
            blocks=counts.blocks,
            dropped_readings=self._intake.dropped_total + counts.lost_readings + writer.transactions.ring.lost_readings,
            unsent={name: _with_waiting(unsent, tail.values + queue_values, queue_events) for name, unsent in writer.unsent.items()},
            disk_tight=writer.parts.space.is_tight,
            written_bytes_a_day=wear.written_bytes_a_day,
            syncs_a_day=wear.syncs_a_day,
        )

    def close(self) -> None:
        """Commits, seals and syncs what is left, empties the log into the file, frees the lock. Returns within CLOSE_S_MAX. Blocking."""
        self._intake.stop()
        if not self._writer.join(CLOSE_S_MAX):
            # The lock stays with the process: its thread may still be writing.
            _log.error("the disk did not finish within %g s; what was committed is in the file and is sealed at the next start", CLOSE_S_MAX)
            return
        self._lock.release()

    # -- for the uplink (edgegw.uplink.outbox.Outbox)

    async def next_batch(self, uplink: str, streams: Sequence[int], after: int, up_to: int | None = None) -> Batch | None:
        def of_ring() -> Batch | None:
            return self._outgoing.filter_volatile(uplink, self._writer.transactions.ring.next_batch(streams, after, up_to))

        def of_file(connection: sqlite3.Connection) -> Batch | None:
            return self._outgoing.next_batch(connection, uplink, streams, after, up_to) or of_ring()

        return await self._ask(of_file, of_ring, of_ring)

    async def newest_block_id(self, streams: Sequence[int]) -> int:
        return await self._ask(lambda connection: self._outgoing.newest(connection, streams), lambda: 0, lambda: 0)

    async def receipt(self, uplink: str, intervals: Sequence[Identity]) -> int:
        return await self._ask(lambda _: self._outgoing.receipt(uplink, intervals), lambda: self._outgoing.receipt(uplink, intervals))

    async def resend(self, uplink: str, intervals: Sequence[Identity]) -> Sequence[Identity]:
        return await self._ask(lambda connection: self._outgoing.resend(uplink, intervals, connection), lambda: self._outgoing.resend(uplink, intervals))

    async def declare_loss(self, intervals: Sequence[Identity], reason: str) -> None:
        self.accept((), [losses.range_declared(self._writer.parts.clock, interval, reason) for interval in intervals])
        # Events are committed before questions are answered: the answer comes when they are stored.
        await self._ask(lambda _: None, lambda: None)

    async def schema_document(self, schema: bytes) -> bytes | None:
        def of_ring() -> bytes | None:
            ledger = self._writer.parts.ledger
            return ledger.document if schema == ledger.current.schema else self._outgoing.filtered_document(schema)

        return await self._ask(lambda connection: self._outgoing.schema_document(connection, schema), of_ring, of_ring)

    # -- for what comes from a damaged file (recovery.py)

    async def adopt(self, adoption: Adoption) -> Adopted | None:
        """Salvaged rows under the identities that they have; None while there is no file to write."""
        return await self._ask(lambda connection: self._writer.transactions.adopt(connection, adoption), lambda: None)

    def has_uplink(self, name: str) -> bool:
        return name in self._outgoing.uplinks

    async def _ask(self, work: Callable[[sqlite3.Connection], T], offline: Callable[[], T], stalled: Callable[[], T] | None = None) -> T:
        return await asyncio.wrap_future(self._intake.ask(work, offline, stalled))

    def _check(self, reading: Reading) -> None:
        """What is stored must open again: a row of another width or a hole without a quality would not."""
        source, values, quality = reading.source, reading.values, reading.quality
        if len(values) != self._widths.get(source.source_id, -1):
            raise ValueError(f"{source.device}: {len(values)} values of source {source.source_id} do not fit its layout")
        if quality or None in values:
            for position, value in enumerate(values):
                if (value is None) == quality.get(position, Quality.GOOD).has_value:
                    raise ValueError(f"{source.device}: value {position} of source {source.source_id} and its quality contradict each other")


def _refusal(path: Path, fault: Exception) -> EdgegwError:
    return EdgegwError("E-STORE-OPEN", f"cannot use the store {path}: {fault}", f"df -h {path.parent}; ls -ld {path.parent}", EXIT_STORE)


def _ages_of(settings: Store) -> Ages:
    return Ages(settings.keep_readings_days, settings.keep_records_days, settings.keep_events_days)


def _load(path: Path, limits: Limits, clock: Clock, sources: Sequence[Source], outgoing_of: OutgoingOf) -> tuple[Opened, Ledger, Outgoing]:
    """What the file says. A file whose check found nothing in the time it had can still turn out to be damaged here."""
    opened = open_database(path, limits)
    try:
        return opened, *_read(opened.connection, clock, sources, outgoing_of)
    except sqlite3.Error as error:
        opened.connection.close()
        if not is_damage(error):
            raise
        opened = open_database(path, limits, condemned=str(error))
        return opened, *_read(opened.connection, clock, sources, outgoing_of)


def _read(connection: sqlite3.Connection, clock: Clock, sources: Sequence[Source], outgoing_of: OutgoingOf) -> tuple[Ledger, Outgoing]:
    epochs = load_epochs(connection)
    ledger = load_ledger(connection, epochs, epochs.begin(schema_of(sources), clock.wall_ms(), clock.boot_ms), sources)
    # A killed process may have left commits that no sync followed. On a full disk this fails, and they wait for the first sync.
    with suppress(sqlite3.OperationalError):
        checkpoint(connection)
        ledger.all_is_synced()
    return ledger, outgoing_of(connection, ledger)


def _with_waiting(unsent: Unsent, values: int, events: int) -> Unsent:
    """What nobody can have confirmed yet waits for every uplink."""
    return Unsent(unsent.values + values, unsent.events + events, unsent.oldest_age_ms)
