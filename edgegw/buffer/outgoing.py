"""The store's side of the uplink: what goes next, what is confirmed, what must go again. Runs on the writer's thread."""

from __future__ import annotations

import logging
import sqlite3
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from edgegw.block import BlockError, encode_events
from edgegw.buffer.database import DamagedError
from edgegw.buffer.epochs import Epochs
from edgegw.buffer.filtering import Filters, filtered
from edgegw.buffer.groups import EventRow, Group
from edgegw.buffer.held import not_held
from edgegw.buffer.ledger import Ledger
from edgegw.buffer.rows import RowError, decode_event
from edgegw.buffer.sealing import BODY_BYTES_MAX
from edgegw.buffer.status import Unsent
from edgegw.buffer.uplinks import Header, Uplink, check_given, headers_behind
from edgegw.intervals import IntervalSet
from edgegw.model import Batch, Event, Identity, Stream

_log = logging.getLogger("edgegw.buffer")

EVENTS_A_BATCH = 200
# Bodies beyond this are not even tried in one batch; events deflate to a quarter or less.
_EVENT_BYTES_TRIED = 4 * BODY_BYTES_MAX
_ENDLESS = 2**63 - 1
# Of the last connections; one that was made so long ago that so many followed has ended.
_BORDERS_MAX = 16


class Outgoing:
    """All uplinks together. Each knows nothing of the others."""

    def __init__(self, ledger: Ledger, uplinks: Sequence[Uplink], filters: Filters) -> None:
        self.uplinks = {uplink.name: uplink for uplink in uplinks}
        self.borders: deque[int] = deque(maxlen=_BORDERS_MAX)
        """Numbers at which an uplink divides what is backlog from what is fresh: a block that reached across would be of neither."""
        self._filters = filters
        self._handed: dict[tuple[int, int], IntervalSet] = {}
        self._ledger = ledger
        self._epochs: Epochs = ledger.epochs

    def attach(self, filters: Filters, there: Sequence[Uplink], before: int) -> None:
        """A file that could not be opened at the start; `before` was the number of this start until now."""
        self._filters = filters
        for uplink in there:
            self.uplinks[uplink.name].attach(uplink, before, self._ledger.current.number)

    # -- what goes next

    def next_batch(self, connection: sqlite3.Connection, name: str, streams: Sequence[int], after: int, up_to: int | None) -> Batch | None:
        uplink = self.uplinks[name]
        uplink.settle(connection)
        limit = _ENDLESS if up_to is None else up_to
        block = min((found for stream in streams if stream != Stream.EVENT for found in self._first(connection, uplink, stream, after, limit)), default=None)
        if Stream.EVENT in streams:
            events = self._next_events(connection, uplink, after, block[0].number - 1 if block else limit)
            if events is not None:
                return events
        return self._filtered(connection, name, block[0].epoch, self._read_block(connection, *block)) if block else None

    def _filtered(self, connection: sqlite3.Connection, name: str, epoch: int, batch: Batch) -> Batch:
        """Without the columns that the uplink does not want. A block that cannot be read goes as it is: the receiver refuses it by name."""
        chosen = self._filters.of(name, epoch)
        if chosen is None or batch.schema is None:
            return batch
        document = self.schema_document(connection, batch.schema)
        try:
            view = chosen.view(batch.schema, document or b"")
            body, values = filtered(batch.body, batch.identity.first, view)
        except (BlockError, KeyError, IndexError) as fault:
            _log.error("block %d cannot be read: %s", batch.block_id, fault)
            return batch
        return Batch(batch.block_id, batch.identity, view.schema, body, values)

    def _first(self, connection: sqlite3.Connection, uplink: Uplink, stream: int, after: int, up_to: int) -> Iterator[tuple[Header, int]]:
        """The first block of the stream that the uplink's receipts do not cover, if there is one."""
        for header in headers_behind(connection, stream, max(after, uplink.mark(stream)), up_to):
            if not uplink.covers(stream, header):
                yield header, stream
                return

    def _read_block(self, connection: sqlite3.Connection, header: Header, stream: int) -> Batch:
        schema, body = connection.execute("SELECT schema, body FROM block WHERE block_id = ?", (header.number,)).fetchone()
        self._handed.setdefault((header.epoch, stream), IntervalSet()).add(header.first, header.last)
        return Batch(header.number, self._identity(header.epoch, stream, header.first, header.last), schema, body, header.values)

    def _next_events(self, connection: sqlite3.Connection, uplink: Uplink, after: int, up_to: int) -> Batch | None:
        up_to = min(up_to, self._ledger.synced_number)
        run: list[Header] = []
        for header in headers_behind(connection, Stream.EVENT, max(after, uplink.mark(Stream.EVENT)), up_to):
            if uplink.covers(Stream.EVENT, header) or (run and (header.epoch, header.first) != (run[-1].epoch, run[-1].last + 1)):
                if run:
                    break
                continue
            run.append(header)
            if len(run) == EVENTS_A_BATCH:
                break
        return self._read_events(connection, run) if run else None

    def _read_events(self, connection: sqlite3.Connection, run: list[Header]) -> Batch:
        events: list[Event] = []
        size = 0
        question = "SELECT kind, device, at_ms, body FROM event WHERE number >= ? AND number <= ? ORDER BY number"
        for kind, device, at_ms, body in connection.execute(question, (run[0].number, run[-1].number)).fetchall():
            size += len(body)
            if events and size > _EVENT_BYTES_TRIED:
                break
            events.append(_opened(kind, device, at_ms, body))
        packed = encode_events(events)
        while len(packed) > BODY_BYTES_MAX and len(events) > 1:
            del events[len(events) // 2 :]
            packed = encode_events(events)
        last = run[len(events) - 1]
        return Batch(last.number, self._identity(last.epoch, Stream.EVENT, run[0].first, last.last), None, packed, len(events))

    def newest(self, connection: sqlite3.Connection, streams: Sequence[int]) -> int:
        newest = [0]
        for stream in streams:
            if stream == Stream.EVENT:
                question, keys = "SELECT max(number) FROM event WHERE number <= ?", (self._ledger.synced_number,)
            else:
                question, keys = "SELECT max(block_id) FROM block WHERE stream = ?", (stream,)
            newest.append(connection.execute(question, keys).fetchone()[0] or 0)
        self.borders.append(max(newest))
        return max(newest)

    def schema_document(self, connection: sqlite3.Connection, schema: bytes) -> bytes | None:
        found = connection.execute("SELECT document FROM schema WHERE hash = ?", (schema,)).fetchone()
        return found[0] if found else self.filtered_document(schema)

    def filtered_document(self, schema: bytes) -> bytes | None:
        """Of a schema that only uplinks with a filter know."""
        return self._filters.schema_document(schema)

    def filter_volatile(self, name: str, batch: Batch | None) -> Batch | None:
        """What is sent from memory, for this uplink."""
        chosen = self._filters.of(name, self._ledger.current.number)
        if batch is None or chosen is None or batch.schema is None:
            return batch
        view = chosen.view(batch.schema, self._ledger.document)
        body, values = filtered(batch.body, batch.identity.first, view, stored=False)
        return Batch(batch.block_id, batch.identity, view.schema, body, values)

    def epoch_id(self, number: int) -> int:
        if number not in self._epochs.rows:
            raise DamagedError(f"rows of epoch {number}, which the file does not know")
        return self._epochs.rows[number].epoch

    def _identity(self, epoch: int, stream: int, first: int, last: int) -> Identity:
        return Identity(self.epoch_id(epoch), int(stream), first, last)

    # -- what is confirmed

    def receipt(self, name: str, intervals: Iterable[Identity]) -> int:
        uplink = self.uplinks[name]
        intervals = tuple(intervals)
        for interval in intervals:
            check_given(self._epochs, interval)
        return sum(uplink.add(self._epochs.numbers[one.epoch], one.stream, one.first, one.last) for one in intervals)

    def resend(self, name: str, intervals: Sequence[Identity], connection: sqlite3.Connection | None = None) -> list[Identity]:
        """Returns what is no longer stored; without a file nothing is known to be gone."""
        uplink = self.uplinks[name]
        for one in intervals:
            if one.epoch in self._epochs.numbers and one.first <= one.last:
                uplink.forget(self._epochs.numbers[one.epoch], one.stream, one.first, one.last)
        return not_held(connection, self._epochs, intervals) if connection is not None else []

    @property
    def is_dirty(self) -> bool:
        return any(uplink.is_dirty for uplink in self.uplinks.values())

    def settle(self, connection: sqlite3.Connection) -> None:
        for uplink in self.uplinks.values():
            uplink.settle(connection)

    def flush(self, connection: sqlite3.Connection) -> None:
        for uplink in self.uplinks.values():
            uplink.flush(connection)

    def flushed(self) -> None:
        for uplink in self.uplinks.values():
            uplink.flushed()

    def write_all(self, connection: sqlite3.Connection) -> None:
        for uplink in self.uplinks.values():
            uplink.write_all(connection)

    # -- what came and went

    def count_events(self, group: Group) -> None:
        for row in group.events:
            self.count(Stream.EVENT, _header(self._ledger.current.number, row))

    def count(self, stream: int, header: Header) -> None:
        for uplink in self.uplinks.values():
            uplink.count(stream, header)

    def discount(self, connection: sqlite3.Connection, stream: int, headers: Sequence[Header]) -> None:
        for uplink in self.uplinks.values():
            uplink.discount(connection, stream, headers)

    def joined(self, connection: sqlite3.Connection, stream: int, parts: Sequence[Header], header: Header) -> None:
        for uplink in self.uplinks.values():
            uplink.joined(stream, parts, header)
        self.settle(connection)

    def recount(self, connection: sqlite3.Connection) -> None:
        for uplink in self.uplinks.values():
            uplink.recount(connection)

    def unsent(self, now_ms: int) -> dict[str, Unsent]:
        return {name: _unsent(uplink, now_ms) for name, uplink in self.uplinks.items()}

    def is_confirmed(self, stream: int, header: Header) -> bool:
        return all(uplink.covers(stream, header) for uplink in self.uplinks.values())

    def is_handed_out(self, stream: int, header: Header) -> bool:
        """Whether an uplink was given a part of it in this start, or its cloud has it."""
        handed = self._handed.get((header.epoch, stream))
        given = handed is not None and handed.missing(header.first, header.last) != [(header.first, header.last)]
        return given or any(uplink.covers(stream, header) for uplink in self.uplinks.values())

    @property
    def synced_number(self) -> int:
        """Events up to this number are on the disk for good."""
        return self._ledger.synced_number

    def confirmed_by_all(self, stream: int) -> int:
        """Up to this number nobody waits for anything of the stream."""
        return min((uplink.mark(stream) for uplink in self.uplinks.values()), default=_ENDLESS)


def _header(epoch: int, row: EventRow) -> Header:
    return Header(row.number, epoch, row.seq, row.seq, 1, row.at_ms)


def _unsent(uplink: Uplink, now_ms: int) -> Unsent:
    oldest_ms = min((at_ms for stream, at_ms in uplink.oldest_ms.items() if stream != Stream.EVENT), default=now_ms)
    values = sum(count for stream, count in uplink.unsent.items() if stream != Stream.EVENT)
    return Unsent(values, uplink.unsent[Stream.EVENT], max(0, now_ms - oldest_ms))


def _opened(kind: str, device: str | None, at_ms: int, body: bytes) -> Event:
    """The event as it was accepted; one whose row is damaged goes with what is left of it, so that its sequence is settled."""
    try:
        return decode_event(kind, device, at_ms, body)
    except RowError as fault:
        _log.error("event %s of %s cannot be read: %s", kind, device, fault)
        return decode_event(kind, device, at_ms, b"\x93\x00\x00\x81\xa7damaged\xc3")
