"""The transactions of the store, on a sound connection. A fault of the disk passes through to the writer, who opens the file anew.

What a transaction is to write is in the ledger before it begins and leaves it only after it succeeded: whatever happens between,
`write_all` brings it into the file under the same identities.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from types import MappingProxyType
from typing import NamedTuple

from edgegw.buffer import losses
from edgegw.buffer.adopting import Adopted, Adoption
from edgegw.buffer.blocks import Lost, seal_held, seal_leftovers
from edgegw.buffer.correction import Correction
from edgegw.buffer.database import DamagedError, check_pages, checkpoint, transaction
from edgegw.buffer.epochs import forget_empty
from edgegw.buffer.groups import Group
from edgegw.buffer.intake import Intake, Package
from edgegw.buffer.joining import AGAIN_S, LOOK_S, Joining
from edgegw.buffer.ledger import Ledger
from edgegw.buffer.outgoing import Outgoing
from edgegw.buffer.retention import Ages, next_aged
from edgegw.buffer.rewriting import portions_of, runs
from edgegw.buffer.ring import Ring
from edgegw.buffer.room import Counts, Room
from edgegw.buffer.space import Space
from edgegw.buffer.wear import Meter
from edgegw.buffer.windows import Windows
from edgegw.clock import Clock
from edgegw.model import ClockTrust, Event, Stream

_log = logging.getLogger("edgegw.buffer")

# A commit of less than this finds room in what is kept free; only larger ones, after a stall, look before they write.
_COMMIT_BYTES_LOOKED_AT = 64 * 1024
_CHECK_EVERY_S = 86_400.0
# Ages are in days: a look a minute keeps up with what a minute brings.
_AGED_LOOK_S = 60.0
_AGED_AGAIN_S = 1.0


class Parts(NamedTuple):
    """What the store is made of."""

    clock: Clock
    intake: Intake
    ledger: Ledger
    outgoing: Outgoing
    windows: Windows
    space: Space
    ages: Ages
    meter: Meter
    on_synced: Callable[[frozenset[int]], None]


class Transactions:
    """Used by the writer's thread alone, once that runs."""

    def __init__(self, parts: Parts) -> None:
        self.counts = Counts()
        self._clock = parts.clock
        self._intake = parts.intake
        self._ledger = parts.ledger
        self._outgoing = parts.outgoing
        self._windows = parts.windows
        self._space = parts.space
        self._ages = parts.ages
        self._on_synced = parts.on_synced
        self._room = Room(parts.clock, parts.ledger, parts.outgoing, parts.space, self.counts)
        self._last_sync_s = 0.0
        self.ring = Ring(parts.intake, parts.ledger, parts.outgoing, parts.windows, self._tell, parts.space.limits.transaction_bytes)
        self._joining = Joining()
        self._known_clock: tuple[int, int] | None = None
        self._correction: Correction | None = None
        self._join_s = self._aged_s = 0.0
        self._check_s = monotonic() + _CHECK_EVERY_S  # it was checked when it was opened

    # -- commit, sync, seal

    def commit(self, connection: sqlite3.Connection, now_s: float, *, sync: bool) -> None:
        """Whatever waits in the queue; then, if that was synced, whatever is to be sealed."""
        packages = self._intake.take()
        lost = self.ring.take_lost()
        if lost:
            packages.append(_package([losses.range_lost(self._clock, one, losses.QUEUE_FULL) for one in lost]))
        dropped = self._intake.take_dropped(now_s)
        if dropped is not None:
            packages.append(_package([losses.queue_lost(self._clock, self._ledger.current.epoch, dropped)]))
        portions = portions_of(packages, self._space.limits.transaction_bytes)
        coming_bytes = sum(portion.bytes for portion in portions)
        try:
            if coming_bytes > _COMMIT_BYTES_LOOKED_AT:
                self._room.make(connection, coming_bytes, self._tell)
        finally:
            # Whatever the disk said: they have left the queue.
            for portion in portions:
                self._ledger.take(portion.packages)
        groups = self._ledger.unwritten()
        if groups:
            oldest_s = min((package.at_s for package in packages), default=now_s)
            self._windows.committed(oldest_s, sum(row.values for group in groups for row in group.tails))
        # When no sync was made for a second, one would be due within the next: made at once it is one commit instead of two.
        urgent = any(group.is_urgent for group in groups) or (bool(groups) and now_s - self._last_sync_s >= 1.0)
        sync = sync or urgent or now_s >= self._windows.sync_at_s()
        *early, last = runs(groups, self._space.limits.transaction_bytes)
        for run in early:
            with transaction(connection, sync=False):
                self._write(connection, run)
            self.counts.commits += 1
        with transaction(connection, sync=sync):
            self._write(connection, last)
            drops = self._ledger.write_drops(connection) if lost else []
            self._outgoing.flush(connection)
            if sync:
                self._ledger.mark_synced(connection)
        self._ledger.written(groups)
        self._ledger.forget_drops(drops)
        self._outgoing.flushed()
        self.counts.commits += 1
        for group in groups:
            self._outgoing.count_events(group)
        if sync:
            self._synced(now_s)
            self.seal(connection, everything=self._windows.seal_with_sync(now_s))

    def _write(self, connection: sqlite3.Connection, groups: Iterable[Group]) -> None:
        for group in groups:
            self._ledger.write(connection, group)

    def seal(self, connection: sqlite3.Connection, *, everything: bool) -> None:
        """Energy with every sync, the rest when its window ends. The rows are synced already, so this transaction need not be."""
        self._windows.sealing()
        streams = [stream for stream in self._ledger.held_streams() if everything or stream == Stream.ENERGY]
        if streams:
            # First: it may take long, and the ring may give up rows meanwhile.
            self._room.make(connection, self._ledger.held_bytes(), self._tell)
        sealed = False
        while rows_of := {stream: rows for stream in streams if (rows := self._ledger.synced_rows(stream))}:
            sealed = True
            with transaction(connection, sync=False):
                made = seal_held(connection, self._ledger, rows_of)
            for stream, rows in rows_of.items():
                self._ledger.sealed(stream, rows)
            for stream, header in made:
                self._outgoing.count(stream, header)
            self.counts.commits += 1
            self.counts.blocks += len(made)
            self._tell(stream for stream, _ in made)
        if sealed and not self._ledger.held:
            self._windows.sealed(everything=everything)

    def tidy(self, connection: sqlite3.Connection, now_s: float) -> None:
        """Small work between commits, a step at a time: joins small blocks, lets go what is older than its class is kept."""
        if now_s >= self._check_s:
            # A damaged page in the middle shows by itself only when it is read, perhaps months later.
            self._check_s = now_s + _CHECK_EVERY_S
            fault = check_pages(connection)
            if fault is not None:
                raise DamagedError(fault)
        if now_s >= self._join_s:
            self._join_s = now_s + (AGAIN_S if self._join_some(connection) else LOOK_S)
        if self._known_clock is not None:
            self._correct_some(connection)
        if now_s >= self._aged_s:
            found = self._clock.trust is ClockTrust.SYNCHRONISED and next_aged(connection, self._outgoing, self._ages, self._clock.wall_ms())
            self._aged_s = now_s + (min(AGAIN_S, _AGED_AGAIN_S) if found else _AGED_LOOK_S)
            if found:
                self._room.remove(connection, found)

    def correct_clock(self, offset_ms: int, until_ms: int) -> None:
        """From any thread."""
        self._known_clock = (offset_ms, until_ms)

    @property
    def is_correcting(self) -> bool:
        return self._known_clock is not None

    def _correct_some(self, connection: sqlite3.Connection) -> None:
        assert self._known_clock is not None
        if self._correction is None:
            self._correction = Correction(self._ledger, self._outgoing, *self._known_clock)
        with transaction(connection, sync=False):
            more = self._correction.step(connection)
        self.counts.commits += 1
        if not more:
            events, states = self._correction.finish(connection, self._clock)
            self._known_clock = self._correction = None
            self.raise_events(events, states)

    def _join_some(self, connection: sqlite3.Connection) -> bool:
        plan = self._joining.next_join(connection, self._outgoing.borders)
        if plan is None:
            return self._joining.is_behind
        with transaction(connection, sync=False):
            joined = plan.write(connection)
        self.counts.commits += 1
        self.counts.joined += len(joined.parts)
        self._outgoing.joined(connection, joined.stream, joined.parts, joined.header)
        return True

    def adopt(self, connection: sqlite3.Connection, adoption: Adoption) -> Adopted:
        """What was salvaged from a damaged file, a portion in one transaction."""
        self._room.make(connection, adoption.size_bytes, self._tell)
        with transaction(connection, sync=True):
            adopted = adoption.write(connection, self._ledger, self._outgoing)
            self._ledger.mark_synced(connection)
        self.counts.commits += 1
        for stream, header in adopted.headers:
            self._outgoing.count(stream, header)
        self._tell(stream for stream, _ in adopted.headers)
        return adopted

    def _synced(self, now_s: float) -> None:
        self.counts.syncs += 1
        self._last_sync_s = now_s
        self._windows.synced()
        if self._ledger.synced():
            self._tell((Stream.EVENT,))

    def _tell(self, streams: Iterable[int]) -> None:
        told = frozenset(int(stream) for stream in streams)
        if told and not self._intake.stopping:
            # The loop that is to be told may have ended before us.
            with suppress(RuntimeError):
                self._on_synced(told)

    def tell_all(self) -> None:
        """Whoever asked while the disk failed was told that there is nothing."""
        self._tell(Stream)

    # -- the start, and the way back after a fault

    def write_all(self, connection: sqlite3.Connection, *, after_fault: bool, was_full: bool = False) -> None:
        """All of memory into the file, synced; then what the file holds of the tail and memory does not is sealed.

        After a fault only an emptied log counts as synced: the disk has taken the file itself then. The file may have no room for all:
        removals that were told and perhaps not done come first, then what has to go for the rest.
        """
        self._outgoing.settle(connection)
        self._joining, self._correction = Joining(), None  # begun anew: what they had read may have changed
        if after_fault:
            self._write_parts(connection, self._ledger.memory().removals)
            self._room.make_after_fault(connection, self._ledger.held_bytes(), was_full=was_full)
        memory = self._ledger.memory()
        self._write_parts(connection, memory.parts(self._space.limits.transaction_bytes))
        with transaction(connection, sync=True):
            self._ledger.write_names(connection)
            self._ledger.write_ends(connection, memory)
            self._outgoing.write_all(connection)
            forget_empty(connection, self._ledger.epochs)  # last: memory knows them until the next start, and wrote them again
            self._ledger.mark_synced(connection)
        if after_fault:
            checkpoint(connection)
        self._ledger.written(memory.groups)
        self._outgoing.flushed()
        self.counts.commits += 1
        _, values = self._ledger.held_counts()
        if values:
            self._windows.committed(monotonic(), values)
        self._synced(monotonic())
        self._seal_leftovers(connection)
        self._outgoing.recount(connection)

    def _write_parts(self, connection: sqlite3.Connection, parts: Iterable[Group]) -> None:
        for part in parts:
            with transaction(connection, sync=False):
                self._ledger.write_names(connection)
                self._ledger.write(connection, part)
            self.counts.commits += 1

    def _seal_leftovers(self, connection: sqlite3.Connection) -> None:
        """Tail rows of an earlier start, and rows of this one whose block a failed sync took back."""
        lost: list[Lost] = []
        while True:
            with transaction(connection, sync=False):
                made, damaged = seal_leftovers(connection, self._ledger)
            if not made and not damaged:
                break
            lost += damaged
            self.counts.blocks += len(made)
            self._tell(stream for stream, _ in made)
        if lost:
            self.raise_events([losses.range_lost(self._clock, one, losses.DAMAGED) for one in lost])

    def raise_events(self, events: Sequence[Event], states: Mapping[str, bytes | None] = MappingProxyType({})) -> None:
        """Events of the store's own, on the way of all others."""
        with suppress(RuntimeError):  # the end has begun: nobody takes them any more
            self._intake.put(Package((), events, states, monotonic()), urgent=True)


def _package(events: Sequence[Event]) -> Package:
    return Package((), events, {}, monotonic())
