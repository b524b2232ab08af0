"""Reading the store back while it is written: samples of points over a range of time, from blocks and tail, in the order they were stored.

A look is one question on a read-only connection, answered whole before the next: no read transaction lasts longer than that, so the log can be
emptied between two looks, however slow the reader is. A read-only connection never copies the log into the file and never writes.

Blocks may be joined, sealed or thinned while they are walked. What was yielded once is not yielded again (the sequences are remembered);
a range that is thinned meanwhile may come both ways, marked for what it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec

from edgegw.block import BlockError, Row, SchemaSource, decode_block, decode_schema
from edgegw.buffer.rows import RowError, decode_rows
from edgegw.buffer.sealing import sources_of
from edgegw.errors import EXIT_STORE, EdgegwError
from edgegw.intervals import IntervalSet
from edgegw.model import ClockTrust, Quality, Stream, Value

# The writer never holds the file for longer; a look waits for a checkpoint at most.
_BUSY_S = 2.0
# Heads of blocks in one look: a few milliseconds.
_HEADS_A_LOOK = 500

_ENDLESS_MS = 2**62


class Span(msgspec.Struct, frozen=True):
    """What is wanted. Wall time in ms, both ends belong to it; an empty device or point means all."""

    from_ms: int = 0
    to_ms: int = _ENDLESS_MS
    device: str = ""
    point: str = ""


class Sample(NamedTuple):
    """One value of one point."""

    read_at_ms: int
    device: str
    point: str
    """Of a thinned one with `.min`, `.mean`, `.max` or `.last` behind the name."""
    value: Value
    """In the point's unit; a number with decimals as its digits say, None where the quality has none."""
    unit: str
    quality: Quality
    clock: ClockTrust
    epoch: int
    stream: int
    seq: int

    @property
    def is_thinned(self) -> bool:
        return self.stream == Stream.THINNED


class Damage(NamedTuple):
    """What cannot be read: a block or a tail row."""

    epoch: int
    stream: int
    first: int
    last: int
    reason: str


class _Head(NamedTuple):
    number: int
    epoch: int
    stream: int
    first: int
    last: int
    schema: bytes
    from_ms: int
    to_ms: int


class _Part(NamedTuple):
    """Rows of one block or one row of the tail."""

    rows: Sequence[Row]
    layout: dict[int, SchemaSource]
    epoch: int
    stream: int


class Reader:
    """A look at a store's file. Raises EdgegwError E-STORE-OPEN where there is none or it may not be read, E-STORE-PAGE where it is damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise _unreadable(path, "there is no such file")
        try:
            self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S, isolation_level=None)
        except sqlite3.Error as fault:
            raise _unreadable(path, str(fault)) from fault
        self.damaged: list[Damage] = []
        """Blocks and rows that could not be read on the way."""
        self._layouts: dict[bytes, dict[int, SchemaSource]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        """One look: the whole answer at once, so that no transaction stays open."""
        try:
            with closing(self._connection.execute(question, values)) as cursor:
                return cursor.fetchall()
        except sqlite3.DatabaseError as fault:
            if getattr(fault, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT:
                raise EdgegwError("E-STORE-PAGE", f"{self.path} has a damaged page: {fault}", f"edgegw buffer recover {self.path}", EXIT_STORE) from fault
            raise _unreadable(self.path, str(fault)) from fault

    def epochs(self) -> dict[int, int]:
        """Number of a start, as rows name it, to its random id."""
        return {number: int.from_bytes(epoch, "big") for number, epoch in self.ask("SELECT number, id FROM epoch")}

    def samples(self, span: Span, after: int = 0) -> Iterator[Sample]:
        """All samples of the span: those in blocks behind number `after`, those still in the tail, and those sealed while we looked."""
        for part in self._parts(span, after):
            yield from _samples(part, span)

    def readings(self, span: Span) -> Iterator[tuple[SchemaSource, Row, int]]:
        """The same as whole readings, each with its source and its stream."""
        for part in self._parts(span, 0):
            for row in part.rows:
                source = part.layout.get(row.source_id)
                if source is not None and _is_in(row, source, span):
                    yield source, row, part.stream

    def _parts(self, span: Span, after: int) -> Iterator[_Part]:
        epochs = self.epochs()
        seen: dict[tuple[int, int], IntervalSet] = {}
        for _ in range(2):
            for head, body in self._blocks(after, span):
                after = head.number
                yield from self._block_part(head, body, epochs, seen)
            yield from self._tail_parts(epochs, seen)

    # -- blocks

    def _blocks(self, after: int, span: Span) -> Iterator[tuple[_Head, bytes]]:
        """Blocks of the span. One that is gone when its turn comes was joined into a later one, or removed: the heads behind it are read anew."""
        columns = "block_id, epoch, stream, first, last, schema, from_ms, to_ms"
        question = f"SELECT {columns} FROM block WHERE block_id > ? ORDER BY block_id LIMIT ?"  # noqa: S608 - names of our own
        while rows := self.ask(question, after, _HEADS_A_LOOK):
            for row in rows:
                head = _Head(*row)
                after = head.number
                if head.from_ms > span.to_ms or head.to_ms < span.from_ms or not self._wants(head.schema, span):
                    continue
                now = self.ask(f"SELECT {columns}, body FROM block WHERE block_id = ?", head.number)  # noqa: S608
                if not now:
                    break
                yield _Head(*now[0][:-1]), now[0][-1]

    def _wants(self, schema: bytes, span: Span) -> bool:
        return any(_fits(source, span) for source in self.layout(schema).values())

    def _block_part(self, head: _Head, body: bytes, epochs: dict[int, int], seen: dict[tuple[int, int], IntervalSet]) -> Iterator[_Part]:
        epoch = epochs.get(head.epoch, 0)
        try:
            _, rows = decode_block(body, head.first)
        except BlockError as fault:
            self.damaged.append(Damage(epoch, head.stream, head.first, head.last, str(fault)))
            return
        known = seen.setdefault((head.epoch, head.stream), IntervalSet())
        new = [row for row in rows if row.seq not in known] if known.missing(head.first, head.last) != [(head.first, head.last)] else rows
        known.add(head.first, head.last)
        yield _Part(new, self.layout(head.schema), epoch, head.stream)

    # -- the tail

    def _tail_parts(self, epochs: dict[int, int], seen: dict[tuple[int, int], IntervalSet]) -> Iterator[_Part]:
        schemas = dict(self.ask("SELECT number, schema FROM epoch"))
        for epoch, stream, first, last, body in self.ask("SELECT epoch, stream, first, last, body FROM tail ORDER BY id"):
            known = seen.setdefault((epoch, stream), IntervalSet())
            if known.covers(first, last):
                continue
            known.add(first, last)
            try:
                readings = decode_rows(body, sources_of(self._document(schemas.get(epoch, b""))))
            except (RowError, BlockError) as fault:
                self.damaged.append(Damage(epochs.get(epoch, 0), stream, first, last, str(fault)))
                continue
            rows = [Row(seq, r.source.source_id, r.mono_ms, r.read_at_ms, r.clock, r.values, dict(r.quality)) for seq, r in enumerate(readings, first)]
            yield _Part(rows, self.layout(schemas[epoch]), epochs.get(epoch, 0), stream)

    # -- layouts

    def layout(self, schema: bytes) -> dict[int, SchemaSource]:
        """Source id to its description; nothing for a schema that is missing or damaged."""
        if schema not in self._layouts:
            try:
                self._layouts[schema] = decode_schema(self._document(schema))
            except BlockError:
                self._layouts[schema] = {}
        return self._layouts[schema]

    def _document(self, schema: bytes) -> bytes:
        found = self.ask("SELECT document FROM schema WHERE hash = ?", schema)
        return bytes(found[0][0]) if found else b""


def _fits(source: SchemaSource, span: Span) -> bool:
    return (not span.device or source.device == span.device) and (not span.point or any(_is_wanted(point.name, span.point) for point in source.points))


def _is_wanted(name: str, wanted: str) -> bool:
    """A point by its own name, and its thinned columns by the same."""
    return not wanted or name == wanted or (name.startswith(f"{wanted}.") and name[len(wanted) + 1 :] in ("min", "mean", "max", "last"))


def _is_in(row: Row, source: SchemaSource, span: Span) -> bool:
    return span.from_ms <= row.read_at_ms <= span.to_ms and (not span.device or source.device == span.device)


def _samples(part: _Part, span: Span) -> Iterator[Sample]:
    for row in part.rows:
        source = part.layout.get(row.source_id)
        if source is None or not _is_in(row, source, span):
            continue
        for position, (point, value) in enumerate(zip(source.points, row.values, strict=False)):
            if _is_wanted(point.name, span.point):
                quality = row.quality.get(position, Quality.GOOD)
                number = scaled(value, point.decimals)
                yield Sample(row.read_at_ms, source.device, point.name, number, point.unit, quality, row.clock, part.epoch, part.stream, row.seq)


def scaled(value: Value, decimals: int) -> Value:
    """A stored integer to the number in the point's unit, with the digits that it has."""
    if decimals == 0 or isinstance(value, bool) or not isinstance(value, int):
        return value
    if decimals < 0:
        return int(value * 10**-decimals)
    return round(value / float(10**decimals), decimals)


def _unreadable(path: Path, reason: str) -> EdgegwError:
    return EdgegwError("E-STORE-OPEN", f"cannot read the store {path}: {reason}", f"as the service's user or root: ls -l {path}", EXIT_STORE)
