"""The transactions of the store, on a sound connection. A fault of the disk passes through to the writer, who opens the file anew.

What a transaction is to write is in the ledger before it begins and leaves it only after it succeeded: whatever happens between,
`write_all` brings it into the file under the same identities.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import NamedTuple

import msgspec

from edgegw.buffer import losses
from edgegw.buffer.blocks import Lost, seal_held, seal_leftovers
from edgegw.buffer.database import checkpoint, transaction
from edgegw.buffer.epochs import forget_empty
from edgegw.buffer.intake import Intake, Package
from edgegw.buffer.ledger import Group, Ledger
from edgegw.buffer.limits import Limits
from edgegw.buffer.outgoing import Outgoing
from edgegw.buffer.retention import Removal, is_short, next_removal, remove
from edgegw.buffer.windows import Windows
from edgegw.clock import Clock
from edgegw.model import Event, Stream

_log = logging.getLogger("edgegw.buffer")

# Bytes that a value takes in a tail row, at most as a rule: room is made for them before they are written.
_BYTES_A_VALUE = 9
# A commit of less than this finds room in what is kept free; only larger ones, after a stall, look before they write.
_COMMIT_BYTES_LOOKED_AT = 64 * 1024
# Steps of making room at one time: the loop ends long before, unless next to nothing of the file may go.
_REMOVALS_AT_ONCE = 64


class Parts(NamedTuple):
    """What the store is made of."""

    clock: Clock
    intake: Intake
    ledger: Ledger
    outgoing: Outgoing
    windows: Windows
    limits: Limits
    on_synced: Callable[[frozenset[int]], None]


class Counts(msgspec.Struct):
    """Since the start."""

    commits: int = 0
    syncs: int = 0
    blocks: int = 0
    lost_readings: int = 0


class Transactions:
    """Used by the writer's thread alone, once that runs."""

    def __init__(self, parts: Parts) -> None:
        self.counts = Counts()
        self._clock = parts.clock
        self._intake = parts.intake
        self._ledger = parts.ledger
        self._outgoing = parts.outgoing
        self._windows = parts.windows
        self._limits = parts.limits
        self._on_synced = parts.on_synced
        self._last_sync_s = 0.0

    # -- commit, sync, seal

    def commit(self, connection: sqlite3.Connection, now_s: float, *, sync: bool) -> None:
        """Whatever waits in the queue; then, if that was synced, whatever is to be sealed."""
        packages = self._intake.take()
        dropped = self._intake.take_dropped(now_s)
        if dropped is not None:
            packages.append(_package([losses.queue_lost(self._clock, self._ledger.current.epoch, dropped)]))
        coming_bytes = _BYTES_A_VALUE * sum(len(reading.values) for package in packages for reading in package.readings)
        if coming_bytes > _COMMIT_BYTES_LOOKED_AT:
            self._make_room(connection, coming_bytes)
        group = self._ledger.take(packages)
        if packages:
            self._windows.committed(min(package.at_s for package in packages), sum(row.values for row in group.tails))
        # When no sync was made for a second, one would be due within the next: made at once it is one commit instead of two.
        sync = sync or group.is_urgent or now_s >= self._windows.sync_at_s() or (bool(group) and now_s - self._last_sync_s >= 1.0)
        with transaction(connection, sync=sync):
            self._ledger.write(connection, group)
            self._outgoing.flush(connection)
            if sync:
                self._ledger.mark_synced(connection)
        self._outgoing.flushed()
        self.counts.commits += 1
        self._outgoing.count_events(group)
        if sync:
            self._synced(now_s)
            self.seal(connection, everything=self._windows.seal_with_sync(now_s))

    def seal(self, connection: sqlite3.Connection, *, everything: bool) -> None:
        """Energy with every sync, the rest when its window ends. The rows are synced already, so this transaction need not be."""
        streams = [stream for stream in sorted(self._ledger.held) if everything or stream == Stream.ENERGY]
        if streams:
            self._make_room(connection, self._ledger.held_bytes(streams))
            with transaction(connection, sync=False):
                made = seal_held(connection, self._ledger, streams)
            for stream in streams:
                del self._ledger.held[stream]
            for stream, header in made:
                self._outgoing.count(stream, header)
            self.counts.commits += 1
            self.counts.blocks += len(made)
            self._tell(stream for stream, _ in made)
        if streams and not self._ledger.held:
            self._windows.sealed(everything=everything)

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

    def write_all(self, connection: sqlite3.Connection, *, after_fault: bool) -> None:
        """All of memory into the file, synced; then what the file holds of the tail and memory does not is sealed.

        After a fault only an emptied log counts as synced: the disk has taken the file itself then.
        """
        self._outgoing.settle(connection)
        with transaction(connection, sync=True):
            self._ledger.write_all(connection)
            self._outgoing.write_all(connection)
            forget_empty(connection, self._ledger.epochs)  # last: memory knows them until the next start, and wrote them again
            self._ledger.mark_synced(connection)
        if after_fault:
            checkpoint(connection)
        self._outgoing.flushed()
        self.counts.commits += 1
        self._synced(monotonic())
        self._seal_leftovers(connection)
        self._outgoing.recount(connection)

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

    def raise_events(self, events: Sequence[Event]) -> None:
        """Events of the store's own, on the way of all others."""
        with suppress(RuntimeError):  # the end has begun: nobody takes them any more
            self._intake.put(_package(events), urgent=True)

    # -- room

    def _make_room(self, connection: sqlite3.Connection, coming_bytes: int) -> None:
        for _ in range(_REMOVALS_AT_ONCE):
            if not is_short(connection, self._limits, coming_bytes) or not self._remove_some(connection):
                return
            if self._ledger.synced():
                self._tell((Stream.EVENT,))

    def make_first_room(self, connection: sqlite3.Connection, *, was_full: bool) -> None:
        """Before `write_all`: one step. The loss events of an earlier attempt that failed come first, they carry their removal with them."""
        if self._ledger.has_unsynced_removal:
            return
        if is_short(connection, self._limits, self._ledger.held_bytes()):
            self._remove_some(connection)
        elif was_full:
            # More is needed than we know of, or the disk is full of what is not ours: nothing is lost for a guess.
            self._remove_some(connection, without_loss=True)

    def _remove_some(self, connection: sqlite3.Connection, *, without_loss: bool = False) -> bool:
        removal = next_removal(connection, self._outgoing, without_loss=without_loss)
        if removal is None:
            return False
        group = self._removal_group(removal)
        with transaction(connection, sync=bool(group)):
            remove(connection, removal)
            if group:
                self._ledger.write(connection, group)
                self._ledger.mark_synced(connection)
        self.counts.commits += 1
        self._outgoing.discount(connection, removal.stream, removal.headers)
        self._outgoing.count_events(group)
        return True

    def _removal_group(self, removal: Removal) -> Group:
        """The loss events of a removal, tied to it."""
        if not removal.lost:
            return Group([], [], {})
        self.counts.lost_readings += sum(lost.last - lost.first + 1 for lost in removal.lost)
        _log.warning("the buffer is full: %d blocks that nobody confirmed were removed, a loss event tells which", len(removal.headers))
        events = [losses.range_lost(self._clock, lost, losses.BUFFER_FULL) for lost in removal.lost]
        return self._ledger.take([_package(events)], removed=tuple(header.number for header in removal.headers))


def _package(events: Sequence[Event]) -> Package:
    return Package((), events, {}, monotonic())
