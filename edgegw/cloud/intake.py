"""What the receiver does with a message: refuses, parks, repeats or stores it, all in the sink's transaction.

A batch whose sequences are settled already is a repeat: it changes nothing and is receipted again, since the first receipt may be lost.
A row that is settled with other content is refused, and the whole batch with it: it cannot happen (identities never repeat), so someone
must look.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from edgegw.block import SchemaSource, decode_schema, schema_hash
from edgegw.cloud.opening import Keyring, Message, RefusedError, block_of, check_schema, document_of, event_rows, is_volatile, open_message, reading_rows
from edgegw.cloud.sink import Arrival, Sink, SinkConflictError
from edgegw.model import Identity, Stream
from edgegw.uplink.schema_parts import SchemaPart, joined

logger = logging.getLogger("edgegw.cloud")


class Taken(msgspec.Struct, frozen=True):
    """What a receipt is due for."""

    gateway: str
    identity: Identity
    urgent: bool
    """Events: a person may be waiting for the alarm."""


class Intake:
    """Messages to rows. Every call between the sink's `begin` and `commit`."""

    def __init__(self, keyring: Keyring, sink: Sink) -> None:
        self._keyring = keyring
        self._sink = sink
        self._reasons_told: set[tuple[str, str]] = set()
        self._volatile: set[str] = set()
        """Gateways whose last batch came from memory."""
        self.received = 0
        self.repeated = 0
        self.refused = 0

    def take(self, topic: str, payload: bytes, now_ms: int) -> list[Taken]:
        """One message. Raises SinkError only: what is wrong with the message is recorded."""
        self.received += 1
        try:
            message = open_message(topic, payload, self._keyring)
            if message.kind == "m":
                return self._take_schema(message, now_ms)
            return self._take_batch(message, topic, payload, now_ms)
        except RefusedError as refusal:
            self._refuse(topic, payload, refusal, now_ms)
        except SinkConflictError as conflict:
            self._refuse(topic, payload, RefusedError("conflict", str(conflict)), now_ms)
        return []

    def _refuse(self, topic: str, payload: bytes, refusal: RefusedError, now_ms: int) -> None:
        self.refused += 1
        self._sink.record_refused(now_ms, topic, refusal.reason, refusal.text, len(payload))
        if (topic, refusal.reason) not in self._reasons_told and len(self._reasons_told) < 1000:
            self._reasons_told.add((topic, refusal.reason))
            logger.warning("refused on %s: %s; more of this kind are only recorded", topic, refusal)

    def _take_schema(self, message: Message, now_ms: int) -> list[Taken]:
        document = document_of(message)
        if isinstance(document, SchemaPart):
            whole = self._join(message.gateway, document, now_ms)
            if whole is None:
                return []
            document = whole
        check_schema(document)
        schema = schema_hash(document)
        self._sink.write_schema(message.gateway, schema, document, now_ms)
        taken: list[Taken] = []
        for parked in self._sink.parked(message.gateway, schema):
            self._sink.unpark(parked.parked_id)
            taken += self.take(parked.topic, parked.payload, now_ms)
        return taken

    def _join(self, gateway: str, part: SchemaPart, now_ms: int) -> bytes | None:
        """The whole document with this part, None while another is missing, or where it is known already."""
        if self._sink.schema(gateway, part.schema) is not None:
            return None
        if self._sink.write_schema_part(gateway, part.schema, part.offset, part.content, now_ms) < part.total_bytes:
            return None
        whole = joined(self._sink.schema_parts(gateway, part.schema), part.total_bytes)
        if whole is None:
            return None
        self._sink.drop_schema_parts(gateway, part.schema)
        if schema_hash(whole) != part.schema:
            raise RefusedError("content", f"the parts of schema {part.schema.hex()} do not make it")
        return whole

    def _take_batch(self, message: Message, topic: str, payload: bytes, now_ms: int) -> list[Taken]:
        if message.identity.stream == Stream.EVENT:
            new = self._store_events(message)
        else:
            schema, rows = block_of(message)
            document = self._sink.schema(message.gateway, schema)
            if document is None:
                if not self._sink.park(message.gateway, schema, topic, payload, now_ms):
                    logger.warning("no room to park a batch of %s: it will come again", message.gateway)
                return []
            new = self._store_readings(message, reading_rows(message.gateway, message.identity, _sources(document), rows))
        self.repeated += new == 0
        identity = message.identity
        epoch = f"{identity.epoch:016x}"
        volatile = is_volatile(message)
        self._tell_volatile(message.gateway, volatile=volatile)
        arrival = Arrival(message.kind, message.gateway, epoch, identity.stream, identity.first, identity.last, now_ms, len(payload), new, volatile)
        self._sink.record_batch(arrival)
        return [Taken(message.gateway, identity, identity.stream == Stream.EVENT)]

    def _tell_volatile(self, gateway: str, *, volatile: bool) -> None:
        """One line for each change: this is how a cloud learns that a disk out there is full or broken."""
        if volatile and gateway not in self._volatile:
            self._volatile.add(gateway)
            logger.warning("%s sends from memory: its disk takes nothing", gateway)
        elif not volatile and gateway in self._volatile:
            self._volatile.discard(gateway)
            logger.info("%s sends from its disk again", gateway)

    def _store_readings(self, message: Message, rows: Sequence[tuple[Any, ...]]) -> int:
        gaps = self._gaps(message.gateway, message.identity)
        fresh, repeated = _divided(rows, gaps)
        if repeated:
            stored = self._sink.stored_readings(*_where(message))
            _check_same(stored, {(row[3], row[4], row[5], row[7], row[8]) for row in repeated})
        self._sink.write_readings(fresh)
        self._settle(message.gateway, message.identity, gaps)
        return _count(gaps)

    def _store_events(self, message: Message) -> int:
        rows, losses = event_rows(message)
        gaps = self._gaps(message.gateway, message.identity)
        fresh, repeated = _divided(rows, gaps)
        if repeated:
            stored = self._sink.stored_events(*_where(message))
            _check_same(stored, {(row[3], row[4], row[5], row[7]) for row in repeated})
        self._sink.write_events(fresh)
        self._settle(message.gateway, message.identity, gaps)
        for lost in losses:
            self._settle(message.gateway, lost, self._gaps(message.gateway, lost))
        return _count(gaps)

    def _gaps(self, gateway: str, identity: Identity) -> list[tuple[int, int]]:
        return self._sink.settled(gateway, f"{identity.epoch:016x}", identity.stream).missing(identity.first, identity.last)

    def _settle(self, gateway: str, identity: Identity, gaps: Iterable[tuple[int, int]]) -> None:
        for first, last in gaps:
            self._sink.settle(gateway, f"{identity.epoch:016x}", identity.stream, first, last)


@lru_cache(maxsize=256)
def _sources(document: bytes) -> dict[int, SchemaSource]:
    """Decoded once: a gateway's batches name the same document for months."""
    return decode_schema(document)


def _where(message: Message) -> tuple[str, str, int, int, int]:
    identity = message.identity
    return message.gateway, f"{identity.epoch:016x}", identity.stream, identity.first, identity.last


def _divided(rows: Sequence[Any], gaps: Sequence[tuple[int, int]]) -> tuple[list[Any], list[Any]]:
    """(rows of unsettled sequences, rows of settled ones); the sequence is the fourth column of either table."""
    if len(gaps) == 1 and rows and gaps[0] == (rows[0][3], rows[-1][3]):
        return list(rows), []
    wanted = set(_numbers(gaps))
    return [row for row in rows if row[3] in wanted], [row for row in rows if row[3] not in wanted]


def _numbers(gaps: Sequence[tuple[int, int]]) -> Iterator[int]:
    for first, last in gaps:
        yield from range(first, last + 1)


def _count(gaps: Sequence[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in gaps)


def _check_same(stored: set[tuple[object, ...]], came: set[tuple[object, ...]]) -> None:
    """What is settled as lost is not stored; what is stored must be what came."""
    numbers = {row[0] for row in stored}
    differing = {row for row in came if row[0] in numbers} - stored
    if differing:
        raise RefusedError("conflict", f"sequence {min(row[0] for row in differing)!s} is stored with other content")  # type: ignore[type-var]
