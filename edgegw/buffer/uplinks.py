"""What each uplink's cloud has confirmed: intervals of sequences, and how far they reach without a hole.

Memory is what counts; the file follows with the next commit. A receipt that a power cut takes from the file costs one resend.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from edgegw.buffer.epochs import Epochs
from edgegw.intervals import IntervalSet
from edgegw.model import Identity, Stream

# Headers of blocks looked at in one question: enough for a receipt's worth, little when the first one stops the walk.
HEADERS_A_LOOK = 32
BLOCK_STREAMS = (Stream.ENERGY, Stream.TELEMETRY, Stream.RECORD, Stream.THINNED)


class Header(NamedTuple):
    """A block or an event without its content; an event's first and last are one."""

    number: int
    epoch: int
    first: int
    last: int
    values: int
    from_ms: int


class Uplink:
    """One cloud. `marks`: everything up to this number of a stream is confirmed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.marks: dict[int, int] = {}
        self.unsent: dict[int, int] = dict.fromkeys(Stream, 0)
        """Values behind the mark (of stream 1: events)."""
        self.oldest_ms: dict[int, int] = {}
        """Wall time of the first unconfirmed block of a stream."""
        self._sets: dict[tuple[int, int], IntervalSet] = {}
        self._dirty: set[tuple[int, int]] = set()
        self._moved: set[int] = set()
        self._forgotten: list[tuple[int, int, int, int]] = []

    def mark(self, stream: int) -> int:
        return self.marks.get(stream, 0)

    def covers(self, stream: int, header: Header) -> bool:
        covered = self._sets.get((header.epoch, stream))
        return covered is not None and covered.covers(header.first, header.last)

    def add(self, epoch: int, stream: int, first: int, last: int) -> int:
        """A receipt. Returns how many sequences were new."""
        new = self._set(epoch, stream).add(first, last).new
        if new:
            self._dirty.add((epoch, stream))
            self._moved.add(stream)
        return new

    def attach(self, there: Uplink, before: int, current: int) -> None:
        """What a file knows that could not be opened until now, and the receipts of this start, whose number was another one."""
        sets = {(current, stream): covered for (epoch, stream), covered in self._sets.items() if epoch == before}
        self._sets = {**there._sets, **sets}
        self._dirty = set(sets)
        self.marks = there.marks
        self._moved.update(stream for _, stream in sets)

    def forget(self, epoch: int, stream: int, first: int, last: int) -> None:
        """A receipt taken back."""
        self._set(epoch, stream).remove(first, last)
        self._dirty.add((epoch, stream))
        self._forgotten.append((epoch, stream, first, last))

    def count(self, stream: int, header: Header) -> None:
        """A new block or event waits."""
        self.unsent[stream] += header.values
        self.oldest_ms.setdefault(stream, header.from_ms)

    def discount(self, connection: sqlite3.Connection, stream: int, headers: Sequence[Header]) -> None:
        """These were removed from the file."""
        self.unsent[stream] -= sum(header.values for header in headers if header.number > self.mark(stream))
        self._moved.add(stream)
        self.settle(connection)

    def joined(self, stream: int, parts: Sequence[Header], header: Header) -> None:
        """One block stands for several now: behind the mark as a whole, or before it."""
        if self.mark(stream) < header.number:
            self.unsent[stream] += sum(part.values for part in parts if part.number <= self.mark(stream))
        self._moved.add(stream)

    @property
    def is_dirty(self) -> bool:
        return bool(self._dirty or self._moved or self._forgotten)

    def settle(self, connection: sqlite3.Connection) -> None:
        """Moves the marks to where the receipts reach now."""
        for epoch, stream, first, last in self._forgotten:
            number = _first_number(connection, epoch, stream, first, last)
            if number is not None and number <= self.mark(stream):
                self.marks[stream] = number - 1
                self.unsent[stream] = count_behind(connection, stream, number - 1)
            self._moved.add(stream)
        self._forgotten.clear()
        for stream in self._moved:
            self._advance(connection, stream)
        self._moved.clear()

    def _advance(self, connection: sqlite3.Connection, stream: int) -> None:
        self.oldest_ms.pop(stream, None)
        for header in headers_behind(connection, stream, self.mark(stream)):
            if not self.covers(stream, header):
                self.oldest_ms[stream] = header.from_ms
                return
            self.marks[stream] = header.number
            self.unsent[stream] -= header.values
            self._dirty.add((0, stream))

    def flush(self, connection: sqlite3.Connection) -> None:
        """Writes what changed, inside the caller's transaction."""
        for epoch, stream in self._dirty:
            self._write(connection, epoch, stream)

    def flushed(self) -> None:
        """The transaction of the last flush succeeded."""
        self._dirty.clear()

    def write_all(self, connection: sqlite3.Connection) -> None:
        for epoch, stream in {*self._sets, *((0, stream) for stream in self.marks)}:
            self._write(connection, epoch, stream)

    def _write(self, connection: sqlite3.Connection, epoch: int, stream: int) -> None:
        upsert = "INSERT INTO cursor(uplink, stream, number) VALUES (?, ?, ?) ON CONFLICT(uplink, stream) DO UPDATE SET number = excluded.number"
        connection.execute(upsert, (self.name, stream, self.mark(stream)))
        covered = self._sets.get((epoch, stream))
        if covered is None:
            return
        connection.execute("DELETE FROM receipt WHERE uplink = ? AND epoch = ? AND stream = ?", (self.name, epoch, stream))
        rows = [(self.name, epoch, stream, first, last) for first, last in covered]
        connection.executemany("INSERT INTO receipt(uplink, epoch, stream, first, last) VALUES (?, ?, ?, ?, ?)", rows)

    def recount(self, connection: sqlite3.Connection) -> None:
        """From the file: at the start, and after the file was changed for another."""
        for stream in Stream:
            self.unsent[stream] = count_behind(connection, stream, self.mark(stream))
            self._advance(connection, stream)

    def _set(self, epoch: int, stream: int) -> IntervalSet:
        return self._sets.setdefault((epoch, stream), IntervalSet())


def load_uplink(connection: sqlite3.Connection, name: str) -> Uplink:
    uplink = Uplink(name)
    for epoch, stream, first, last in connection.execute("SELECT epoch, stream, first, last FROM receipt WHERE uplink = ?", (name,)):
        uplink._set(epoch, stream).add(first, last)  # noqa: SLF001 - its own loader
    uplink.marks.update(connection.execute("SELECT stream, number FROM cursor WHERE uplink = ?", (name,)).fetchall())
    uplink.recount(connection)
    return uplink


def check_given(epochs: Epochs, interval: Identity) -> None:
    """Raises ValueError when the interval holds a sequence that was never given."""
    number = epochs.numbers.get(interval.epoch)
    if number is None:
        raise ValueError(f"epoch {interval.epoch:016x} is unknown")
    last = epochs.last.get((number, interval.stream), 0)
    if not 1 <= interval.first <= interval.last <= last:
        raise ValueError(f"{interval.first}..{interval.last} of stream {interval.stream} is not within 1..{last} of epoch {interval.epoch:016x}")


def headers_behind(connection: sqlite3.Connection, stream: int, number: int, up_to: int = 2**63 - 1) -> Iterator[Header]:
    """In the order of sending; questions are short, so that a walk that ends early reads little."""
    if stream == Stream.EVENT:
        question = "SELECT number, epoch, seq, seq, 1, at_ms FROM event WHERE number > ? AND number <= ? ORDER BY number LIMIT ?"
        keys: tuple[int, ...] = ()
    else:
        question = "SELECT block_id, epoch, first, last, vals, from_ms FROM block WHERE stream = ? AND block_id > ? AND block_id <= ? ORDER BY block_id LIMIT ?"
        keys = (stream,)
    while rows := connection.execute(question, (*keys, number, up_to, HEADERS_A_LOOK)).fetchall():
        for row in rows:
            yield Header(*row)
        number = rows[-1][0]


def count_behind(connection: sqlite3.Connection, stream: int, number: int) -> int:
    """Values (events) behind a number; reads the index alone."""
    if stream == Stream.EVENT:
        question, keys = "SELECT count(*) FROM event WHERE number > ?", (number,)
    else:
        question, keys = "SELECT sum(vals) FROM block WHERE stream = ? AND block_id > ?", (stream, number)  # type: ignore[assignment]
    return int(connection.execute(question, keys).fetchone()[0] or 0)


def _first_number(connection: sqlite3.Connection, epoch: int, stream: int, first: int, last: int) -> int | None:
    if stream == Stream.EVENT:
        question = "SELECT min(number) FROM event WHERE epoch = :epoch AND seq BETWEEN :first AND :last"
    else:
        question = (
            "SELECT min(block_id) FROM block WHERE epoch = :epoch AND stream = :stream AND first <= :last AND first >="
            " coalesce((SELECT max(first) FROM block WHERE epoch = :epoch AND stream = :stream AND first <= :first), :first)"
        )
    keys: Mapping[str, int] = {"epoch": epoch, "stream": stream, "first": first, "last": last}
    found = connection.execute(question, keys).fetchone()[0]
    return None if found is None else int(found)
