"""What one transaction writes, as rows and groups of rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from edgegw.buffer.epochs import save_last
from edgegw.buffer.rows import encode_rows
from edgegw.buffer.sealing import Sealed
from edgegw.model import Reading, Stream


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


class BlockRow(NamedTuple):
    """A sealed block of this start, as its row."""

    number: int
    stream: int
    schema: bytes
    sealed: Sealed


class Group(msgspec.Struct, frozen=True):
    """What one transaction writes."""

    tails: list[TailRow]
    events: list[EventRow]
    states: Mapping[str, bytes | None]
    removed: tuple[int, ...] = ()
    """Blocks (or events, when `removed_events`) whose loss the events tell: gone with them or not at all."""
    removed_events: bool = False
    blocks: tuple[BlockRow, ...] = ()
    """What was thinned from the removed ones."""
    documents: tuple[tuple[bytes, bytes], ...] = ()
    """Schema documents of these blocks by their hash."""

    @property
    def is_urgent(self) -> bool:
        """Events and energy are synced at once."""
        return bool(self.events) or any(row.stream == Stream.ENERGY for row in self.tails)

    def __bool__(self) -> bool:
        return bool(self.tails or self.events or self.states or self.removed)


class Removed(NamedTuple):
    """What a loss takes out of the file, and what it leaves in its place."""

    numbers: tuple[int, ...] = ()
    of_events: bool = False
    blocks: tuple[BlockRow, ...] = ()
    documents: tuple[tuple[bytes, bytes], ...] = ()


NOTHING_REMOVED = Removed()


def cut(row: TailRow, values: int) -> tuple[TailRow, TailRow | None]:
    """The first readings of a row, of at least so many values, and the rest of it under the same id."""
    count = 0
    while count < len(row.readings) and values > 0:
        values -= len(row.readings[count].values)
        count += 1
    if count == len(row.readings):
        return row, None
    return _part(row, 0, count), _part(row, count, len(row.readings))


def _part(row: TailRow, start: int, end: int) -> TailRow:
    readings = row.readings[start:end]
    first = row.first + start
    return TailRow(row.row_id, row.stream, first, first + len(readings) - 1, encode_rows(readings), readings, sum(len(one.values) for one in readings))


def insert_blocks(connection: sqlite3.Connection, epoch: int, rows: Sequence[BlockRow]) -> None:
    """Inside the caller's transaction. Replaced is what a failed transaction left behind after all: the same readings under the same identities."""
    question = "INSERT OR REPLACE INTO block(block_id, epoch, stream, first, last, schema, from_ms, to_ms, vals, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    for row in rows:
        block = row.sealed
        connection.execute(question, (row.number, epoch, row.stream, block.first, block.last, row.schema, block.from_ms, block.to_ms, block.values, block.body))
    for stream in {row.stream for row in rows}:
        save_last(connection, epoch, stream, max(row.sealed.last for row in rows if row.stream == stream))


def write_states(connection: sqlite3.Connection, states: Mapping[str, bytes | None]) -> None:
    gone = [(key,) for key, value in states.items() if value is None]
    kept = [(key, value) for key, value in states.items() if value is not None]
    connection.executemany("DELETE FROM state WHERE key = ?", gone)
    connection.executemany("INSERT INTO state(key, value) VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value", kept)
