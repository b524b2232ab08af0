"""What is numbered and not yet out of danger: the memory's side of the file.

Everything that a power cut could still take from the file is held here, so that after a failed sync it is written again under the
same sequences. Rows of the tail stay until they are in a block; events until their commit is synced; the states always.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import msgspec

from edgegw.block import decode_schema, encode_schema, schema_hash
from edgegw.buffer.epochs import EpochRow, Epochs, save_epochs, save_last
from edgegw.buffer.intake import Package
from edgegw.buffer.numbering import Numbering
from edgegw.buffer.rows import encode_event, encode_rows, storable
from edgegw.model import Event, Reading, Source, Stream


class TailRow(NamedTuple):
    """The readings of one stream in one commit."""

    row_id: int
    stream: int
    first: int
    last: int
    body: bytes
    readings: list[Reading]
    values: int


class EventRow(NamedTuple):
    number: int
    seq: int
    kind: str
    device: str | None
    at_ms: int
    body: bytes


class Group(msgspec.Struct, frozen=True):
    """What one transaction writes."""

    tails: list[TailRow]
    events: list[EventRow]
    states: Mapping[str, bytes | None]
    removed: tuple[int, ...] = ()
    """Blocks whose loss the events tell: gone with them or not at all."""

    @property
    def is_urgent(self) -> bool:
        """Events and energy are synced at once."""
        return bool(self.events) or any(row.stream == Stream.ENERGY for row in self.tails)

    def __bool__(self) -> bool:
        return bool(self.tails or self.events or self.states or self.removed)


class Ledger:
    """Used by the writer's thread alone, once that runs."""

    def __init__(self, epochs: Epochs, current: EpochRow, sources: Sequence[Source], states: dict[str, bytes], counters: Counters) -> None:
        self.epochs = epochs
        self.current = current
        self.document = encode_schema(sources)
        self.states = states
        self.held: dict[int, list[TailRow]] = {}
        self._counters = counters
        self._numbering = Numbering()
        self._unsynced: list[Group] = []
        self.synced_number = 0
        """Events up to this number are on the disk for good."""

    def take(self, packages: Iterable[Package], removed: tuple[int, ...] = ()) -> Group:
        """Numbers what was accepted. From here on it is held, whatever the disk does."""
        readings: dict[int, list[Reading]] = {}
        events: list[Event] = []
        states: dict[str, bytes | None] = {}
        for package in packages:
            for reading in package.readings:
                readings.setdefault(reading.source.stream, []).append(reading)
            events += package.events
            states.update(package.states)
        group = Group([self._tail_row(int(stream), rows) for stream, rows in readings.items()], [self._event_row(event) for event in events], states, removed)
        self._hold(group)
        return group

    def write(self, connection: sqlite3.Connection, group: Group) -> None:
        """Rows that are there already (after a failed sync) stay as they are: same key, same content."""
        epoch = self.current.number
        connection.executemany("DELETE FROM block WHERE block_id = ?", [(block_id,) for block_id in group.removed])
        tails = [(row.row_id, epoch, row.stream, row.first, row.last, row.body) for row in group.tails]
        connection.executemany("INSERT OR IGNORE INTO tail(id, epoch, stream, first, last, body) VALUES (?, ?, ?, ?, ?, ?)", tails)
        if group.events:
            events = [(row.number, epoch, row.seq, row.kind, row.device, row.at_ms, row.body) for row in group.events]
            connection.executemany("INSERT OR IGNORE INTO event(number, epoch, seq, kind, device, at_ms, body) VALUES (?, ?, ?, ?, ?, ?, ?)", events)
            save_last(connection, epoch, Stream.EVENT, group.events[-1].seq)
        if group.states:
            _write_states(connection, group.states)

    def write_all(self, connection: sqlite3.Connection) -> None:
        """Everything held, into a file of which we do not know what it kept, or into a new one."""
        save_epochs(connection, self.epochs)
        connection.execute("INSERT OR IGNORE INTO schema(hash, document) VALUES (?, ?)", (self.current.schema, self.document))
        for (epoch, stream), last in self.epochs.last.items():
            save_last(connection, epoch, stream, last)
        for group in self._unsynced:
            self.write(connection, group)
        self.write(connection, Group(list(chain.from_iterable(self.held.values())), [], {}))
        connection.execute("DELETE FROM state")
        _write_states(connection, self.states)

    def mark_synced(self, connection: sqlite3.Connection) -> None:
        """A synced commit must change a page, or nothing is synced."""
        self._counters.commits += 1
        connection.execute("INSERT INTO synced(id, commits) VALUES (1, ?) ON CONFLICT(id) DO UPDATE SET commits = excluded.commits", (self._counters.commits,))

    def synced(self) -> bool:
        """To be called when the disk has all that was taken. Returns whether there were events among it."""
        events = any(group.events for group in self._unsynced)
        self._unsynced.clear()
        self.all_is_synced()
        return events

    def all_is_synced(self) -> None:
        """Whatever has a number is on the disk for good."""
        self.synced_number = self._counters.number

    def next_number(self) -> int:
        """Blocks and events share one count, so that one order of sending holds for all streams."""
        self._counters.number += 1
        return self._counters.number

    def held_bytes(self, streams: Iterable[int] | None = None) -> int:
        """What the tail rows of these streams take; without streams, all that is held."""
        if streams is not None:
            return sum(len(row.body) for stream in streams for row in self.held[stream])
        return self.held_bytes(self.held) + sum(len(row.body) for group in self._unsynced for row in group.events)

    @property
    def has_unsynced_removal(self) -> bool:
        return any(group.removed for group in self._unsynced)

    @property
    def has_unsynced(self) -> bool:
        return bool(self._unsynced)

    def _hold(self, group: Group) -> None:
        if group:
            self._unsynced.append(group)
        for row in group.tails:
            self.held.setdefault(row.stream, []).append(row)
        for key, value in group.states.items():
            if value is None:
                self.states.pop(key, None)
            else:
                self.states[key] = value

    def _tail_row(self, stream: int, readings: list[Reading]) -> TailRow:
        ordered = self._numbering.order(stream, readings)
        try:
            body = encode_rows(ordered)
        except (OverflowError, TypeError, ValueError):
            ordered = [storable(reading) for reading in ordered]
            body = encode_rows(ordered)
        self._counters.tail_id += 1
        first = self._give(stream, len(ordered))
        return TailRow(self._counters.tail_id, stream, first, first + len(ordered) - 1, body, ordered, sum(len(reading.values) for reading in ordered))

    def _event_row(self, event: Event) -> EventRow:
        return EventRow(self.next_number(), self._give(Stream.EVENT, 1), event.kind, event.device, event.at_ms, encode_event(event))

    def _give(self, stream: int, count: int) -> int:
        first = self._numbering.give(stream, count)
        self.epochs.last[self.current.number, int(stream)] = first + count - 1
        return first


class Counters(msgspec.Struct):
    """Numbers that go on from what the file holds."""

    tail_id: int
    number: int
    """Last block_id or event number."""
    commits: int


def load_ledger(connection: sqlite3.Connection, epochs: Epochs, current: EpochRow, sources: Sequence[Source]) -> Ledger:
    def newest(question: str) -> int:
        return int(connection.execute(question).fetchone()[0] or 0)

    number = max(newest(f"SELECT max({column}) FROM {table}") for column, table in (("block_id", "block"), ("number", "event"), ("number", "cursor")))  # noqa: S608
    counters = Counters(newest("SELECT max(id) FROM tail"), number, newest("SELECT max(commits) FROM synced"))
    states: dict[str, bytes] = dict(connection.execute("SELECT key, value FROM state"))
    return Ledger(epochs, current, sources, states, counters)


def schema_of(sources: Sequence[Source]) -> bytes:
    """Hash of the sources' layout. Asserts that it reads back: a layout that no receiver can open is a mistake of ours."""
    document = encode_schema(sources)
    assert len(decode_schema(document)) == len(sources), "two sources have one id"
    return schema_hash(document)


def _write_states(connection: sqlite3.Connection, states: Mapping[str, bytes | None]) -> None:
    gone = [(key,) for key, value in states.items() if value is None]
    kept = [(key, value) for key, value in states.items() if value is not None]
    connection.executemany("DELETE FROM state WHERE key = ?", gone)
    connection.executemany("INSERT INTO state(key, value) VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value", kept)
