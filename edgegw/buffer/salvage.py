"""What can still be read of a damaged file, found without changing it: rows by their ids from both ends up to the damage, and between two damages.

    block, event, tail    rows that open and hold as many readings as their sequences say
    receipt               what was confirmed, so that it is not sent again
    lost                  sequences that were given and are nowhere: not read, not confirmed, not told lost before

Everything keeps its identity (rule 8). A row whose bytes cannot be opened counts as unreadable: what is not provably whole is not delivered.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec

from edgegw.block import BlockError, decode_block, decode_schema
from edgegw.buffer.rows import RowError, decode_event, decode_rows
from edgegw.buffer.sealing import Sealed, seal, sources_of
from edgegw.errors import EXIT_STORE, EdgegwError
from edgegw.intervals import IntervalSet
from edgegw.model import Event, Identity, Stream

# Rows handed on at one time: a transaction of some 500 KiB, a few milliseconds of the writer's time.
ROWS_A_STEP = 32
_ROWS_A_WALK = 200
# Where the end of a table cannot be reached: more ids than a gateway can ever give.
_ID_MAX = 2**40
# Ids that are tried one by one between damages in one table: ten seconds.
_TRIES_MAX = 200_000
_COLUMNS = {
    "block": "block_id, epoch, stream, first, last, schema, vals, body",
    "event": "number, epoch, seq, kind, device, at_ms, body",
    "tail": "id, epoch, stream, first, last, body",
}


class SalvagedBlock(NamedTuple):
    epoch: int
    """Its random id."""
    stream: int
    schema: bytes
    sealed: Sealed


class SalvagedEvent(NamedTuple):
    epoch: int
    seq: int
    event: Event
    body: bytes


class Portion(msgspec.Struct):
    """Some of what was read, to be stored in one transaction. Epochs and documents are those that its rows name."""

    blocks: list[SalvagedBlock] = []
    events: list[SalvagedEvent] = []


class Origin(msgspec.Struct, frozen=True):
    """One start of the daemon as the damaged file tells it."""

    epoch: int
    schema: bytes
    started_at_ms: int
    boot_id: str


class Counts(msgspec.Struct):
    """Rows of the damaged file."""

    blocks: int = 0
    events: int = 0
    tail_rows: int = 0
    unreadable: int = 0
    """Rows that were there and could not be opened; how many a destroyed page held is not known."""
    readings: int = 0


class DamagedFile:
    """A look at a file that was set aside; it stays as it is. Raises EdgegwError E-RECOVER when nothing of it can be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts = Counts()
        self._tries = 0
        self._found: dict[tuple[int, int], IntervalSet] = {}
        try:
            self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
            rows = self._connection.execute("SELECT number, id, schema, started_at_ms, boot_id FROM epoch").fetchall()
        except sqlite3.Error as fault:
            step = "keep the file and its -wal; its first pages are needed to find anything in it"
            raise EdgegwError("E-RECOVER", f"nothing can be read of {path}: {fault}", step, EXIT_STORE) from fault
        self._numbers: dict[int, int] = {number: int.from_bytes(epoch, "big") for number, epoch, *_ in rows}
        self.origins = {number: Origin(int.from_bytes(epoch, "big"), schema, started_at_ms, boot_id) for number, epoch, schema, started_at_ms, boot_id in rows}
        self.documents: dict[bytes, bytes] = {}
        for schema, document in self._all("SELECT hash, document FROM schema"):
            with suppress(BlockError):
                decode_schema(document)
                self.documents[schema] = document

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def portions(self) -> Iterator[Portion]:
        """All that opens, in the order of sending."""
        portion = Portion()
        for row in self._rows("event"):
            found = self._event(row)
            if found:
                portion.events.append(found)
            if len(portion.events) == ROWS_A_STEP:
                yield portion
                portion = Portion()
        for table, opened in (("block", self._block), ("tail", self._tail)):
            for row in self._rows(table):
                portion.blocks += opened(row)
                if len(portion.blocks) >= ROWS_A_STEP:
                    yield portion
                    portion = Portion()
        yield portion

    def confirmed(self) -> dict[str, list[Identity]]:
        """Uplink to what its cloud has confirmed."""
        receipts: dict[str, list[Identity]] = {}
        for uplink, epoch, stream, first, last in self._all("SELECT uplink, epoch, stream, first, last FROM receipt"):
            if epoch in self._numbers:
                receipts.setdefault(uplink, []).append(Identity(self._numbers[epoch], stream, first, last))
        return receipts

    def lost(self) -> list[Identity]:
        """What cannot be read and nobody has: to be asked when all portions are through."""
        last = {(epoch, stream): sets_last for (epoch, stream), found in self._found.items() for sets_last in [max(end for _, end in found)]}
        for epoch, stream, given in self._all("SELECT epoch, stream, last FROM sequence"):
            if epoch in self._numbers:
                key = self._numbers[epoch], stream
                last[key] = max(given, last.get(key, 0))
        for interval in self._confirmed_by_all():
            self._note(interval.epoch, interval.stream, interval.first, interval.last)
        return [Identity(*key, *gap) for key, end in sorted(last.items()) for gap in self._found.get(key, IntervalSet()).missing(1, end)]

    def _confirmed_by_all(self) -> list[Identity]:
        receipts = self.confirmed()
        sets: dict[str, dict[tuple[int, int], IntervalSet]] = {name: {} for name in receipts}
        for name, intervals in receipts.items():
            for one in intervals:
                sets[name].setdefault((one.epoch, one.stream), IntervalSet()).add(one.first, one.last)
        every = [one for intervals in receipts.values() for one in intervals]
        return [one for one in every if all(held.get((one.epoch, one.stream), IntervalSet()).covers(one.first, one.last) for held in sets.values())]

    # -- rows to what they hold

    def _block(self, row: tuple[Any, ...]) -> list[SalvagedBlock]:
        _, epoch, stream, first, last, schema, values, body = row
        try:
            named, rows = decode_block(body, first)
        except (BlockError, TypeError):
            named, rows = b"", []
        if named != schema or schema not in self.documents or epoch not in self._numbers or len(rows) != last - first + 1:
            self.counts.unreadable += 1
            return []
        self.counts.blocks += 1
        self.counts.readings += len(rows)
        self._note(self._numbers[epoch], stream, first, last)
        sealed = Sealed(first, last, min(one.read_at_ms for one in rows), max(one.read_at_ms for one in rows), values, body)
        return [SalvagedBlock(self._numbers[epoch], stream, schema, sealed)]

    def _tail(self, row: tuple[Any, ...]) -> list[SalvagedBlock]:
        _, epoch, stream, first, last, body = row
        schema = self.origins[epoch].schema if epoch in self.origins else b""
        try:
            readings = decode_rows(body, sources_of(self.documents.get(schema, b"")))
        except (RowError, BlockError, TypeError):
            readings = []
        if not readings or len(readings) != last - first + 1:
            self.counts.unreadable += 1
            return []
        self.counts.tail_rows += 1
        self.counts.readings += len(readings)
        self._note(self._numbers[epoch], stream, first, last)
        return [SalvagedBlock(self._numbers[epoch], stream, schema, sealed) for sealed in seal(schema, first, readings)]

    def _event(self, row: tuple[Any, ...]) -> SalvagedEvent | None:
        _, epoch, seq, kind, device, at_ms, body = row
        try:
            event = decode_event(kind, device, at_ms, body)
        except (RowError, TypeError):
            event = None
        if event is None or epoch not in self._numbers:
            self.counts.unreadable += 1
            return None
        self.counts.events += 1
        self._note(self._numbers[epoch], Stream.EVENT, seq, seq)
        match event.body if kind == "loss" else None:
            case {"epoch": str(lost), "stream": int(stream), "first": int(first), "last": int(last)}:
                self._note(int(lost, 16), stream, first, last)
        return SalvagedEvent(self._numbers[epoch], seq, event, body)

    def _note(self, epoch: int, stream: int, first: int, last: int) -> None:
        self._found.setdefault((epoch, int(stream)), IntervalSet()).add(first, last)

    # -- rows out of damaged pages

    def _all(self, question: str) -> list[tuple[Any, ...]]:
        """Of a small table; what was read before a damage is better than nothing."""
        rows: list[tuple[Any, ...]] = []
        with suppress(sqlite3.DatabaseError):
            rows.extend(self._connection.execute(question))
        return rows

    def _rows(self, table: str) -> Iterator[tuple[Any, ...]]:
        """In the order of their ids, as far as they can be reached."""
        column = _COLUMNS[table].partition(",")[0]
        ends = []
        for order in ("ASC", "DESC"):
            found = self._all(f"SELECT {column} FROM {table} ORDER BY {column} {order} LIMIT 1")  # noqa: S608 - names of our own
            ends.append(int(found[0][0]) if found else None)
        self._tries = 0
        yield from self._between(table, 0 if ends[0] is None else ends[0], _ID_MAX if ends[1] is None else ends[1])

    def _between(self, table: str, low: int, high: int) -> Iterator[tuple[Any, ...]]:
        """Rows of low..high: upwards to a damage, over it in growing steps, back into what was stepped over in halves."""
        while low <= high and self._tries < _TRIES_MAX:
            rows, is_damaged = self._walk(table, low, high, _ROWS_A_WALK)
            yield from rows
            if rows:
                low = rows[-1][0] + 1
            if not is_damaged:
                if len(rows) < _ROWS_A_WALK:
                    return
                continue
            step = 1
            while low + step <= high and self._walk(table, low + step, high, 1)[1]:
                step *= 2
            edge = min(low + step, high + 1)
            middle = (low + edge) // 2
            for part in ((low + 1, middle), (middle + 1, edge - 1)):
                yield from self._between(table, *part)
            low = edge

    def _walk(self, table: str, low: int, high: int, count: int) -> tuple[list[tuple[Any, ...]], bool]:
        """(rows up to a damage, whether there was one)."""
        self._tries += 1
        rows: list[tuple[Any, ...]] = []
        columns = _COLUMNS[table]
        column = columns.partition(",")[0]
        question = f"SELECT {columns} FROM {table} WHERE {column} BETWEEN ? AND ? ORDER BY {column} LIMIT ?"  # noqa: S608 - names of our own
        try:
            rows.extend(self._connection.execute(question, (low, high, count)))
        except sqlite3.DatabaseError:
            return rows, True
        return rows, False
