"""Room in the file, made in steps before something is written: each step is a transaction of its own, with the losses that it tells (retention.py)."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable
from time import monotonic

import msgspec

from edgegw.buffer import losses
from edgegw.buffer.blocks import header_of
from edgegw.buffer.database import transaction
from edgegw.buffer.groups import Group, Removed
from edgegw.buffer.intake import Package
from edgegw.buffer.ledger import Ledger
from edgegw.buffer.outgoing import Outgoing
from edgegw.buffer.retention import Removal, next_removal, remove
from edgegw.buffer.space import Space
from edgegw.clock import Clock
from edgegw.model import Stream

_log = logging.getLogger("edgegw.buffer")

# Steps of making room at one time: the loop ends long before, unless next to nothing of the file may go.
_REMOVALS_AT_ONCE = 64


class Counts(msgspec.Struct):
    """Since the start."""

    commits: int = 0
    syncs: int = 0
    blocks: int = 0
    joined: int = 0
    """Small blocks that are part of a larger one now."""
    lost_readings: int = 0
    thinned_readings: int = 0
    """Of the lost ones: what stands for them is in stream 5."""


class Room:
    """Used by the writer's thread alone, once that runs."""

    def __init__(self, clock: Clock, ledger: Ledger, outgoing: Outgoing, space: Space, counts: Counts) -> None:
        self._clock = clock
        self._ledger = ledger
        self._outgoing = outgoing
        self._space = space
        self._counts = counts

    def make(self, connection: sqlite3.Connection, coming_bytes: int, tell: Callable[[Iterable[int]], None]) -> None:
        """While all is well: every step is synced, and what it tells may be sent."""
        for _ in range(_REMOVALS_AT_ONCE):
            if not self._space.is_short(connection, coming_bytes) or not self._remove_some(connection):
                return
            if self._ledger.synced():
                tell((Stream.EVENT, Stream.THINNED))

    def make_after_fault(self, connection: sqlite3.Connection, coming_bytes: int, *, was_full: bool) -> None:
        """Before all that memory holds is written again. Removals that an earlier attempt left half done must be in the file by now."""
        if was_full and not self._space.is_short(connection, coming_bytes):
            # More is needed than we know of, or the disk is full of what is not ours: nothing is lost for a guess.
            self._remove_some(connection, without_loss=True)
            return
        for _ in range(_REMOVALS_AT_ONCE):
            if not self._space.is_short(connection, coming_bytes) or not self._remove_some(connection):
                return

    def remove(self, connection: sqlite3.Connection, removal: Removal) -> None:
        group = self._group_of(removal)
        with transaction(connection, sync=bool(group)):
            remove(connection, removal)
            if group:
                self._ledger.write(connection, group)
                self._ledger.mark_synced(connection)
        self._ledger.written((group,))
        self._counts.commits += 1
        self._outgoing.discount(connection, removal.stream, removal.headers)
        self._outgoing.count_events(group)
        for row in group.blocks:
            self._outgoing.count(row.stream, header_of(self._ledger.current.number, row))

    def _remove_some(self, connection: sqlite3.Connection, *, without_loss: bool = False) -> bool:
        removal = next_removal(connection, self._outgoing, without_loss=without_loss)
        if removal is not None:
            self.remove(connection, removal)
        return removal is not None

    def _group_of(self, removal: Removal) -> Group:
        """The loss events of a removal and what was thinned, tied to it."""
        if not removal.lost:
            return Group([], [], {})
        count = sum(lost.last - lost.first + 1 for lost in removal.lost)
        self._counts.lost_readings += count
        self._counts.thinned_readings += count if removal.thinned else 0
        done = "thinned" if removal.thinned else "removed"
        _log.warning("the buffer is full: %d blocks or events that nobody confirmed were %s, a loss event tells which", len(removal.headers), done)
        rows = [row for thinned in removal.thinned for row in self._ledger.thinned_rows(thinned.schema, thinned.readings)]
        documents = tuple((thinned.schema, thinned.document) for thinned in removal.thinned)
        removed = Removed(tuple(header.number for header in removal.headers), removal.stream == Stream.EVENT, tuple(rows), documents)
        events = [losses.range_lost(self._clock, lost, removal.reason) for lost in removal.lost]
        return self._ledger.take([Package((), events, {}, monotonic())], removed)
