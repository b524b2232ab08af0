"""From a received message to rows: proven, opened, decoded. Pure, save for the gateways' public keys, which are read from their directory.

Order of the checks: size and form, topic against header, signer known and allowed to speak for this gateway, signature, our key,
stream against topic, content. Whatever fails is refused with one word (`RefusedError.reason`) and never half taken.
"""

from __future__ import annotations

import json
import math
import time
import zlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from edgegw.block import BlockError, Row, SchemaSource, decode_block, decode_events, decode_schema, unpack
from edgegw.errors import EdgegwError
from edgegw.model import Event, Identity, Stream, Value
from edgegw.uplink.envelope import BATCH, NO_IDENTITY, SCHEMA, EnvelopeError, Sealed, check_signature, open_sealed, take_apart
from edgegw.uplink.keys import CloudKeys, GatewayPublic, load_gateway_publics
from edgegw.uplink.schema_parts import SchemaPart, read_part

# A stranger's messages must not make the receiver read its key directory all the time.
_RELOAD_INTERVAL_S = 2.0
STREAMS_OF_TOPIC: Mapping[str, frozenset[int]] = {
    "e": frozenset({Stream.EVENT}),
    "n": frozenset({Stream.ENERGY}),
    "t": frozenset({Stream.TELEMETRY}),
    "h": frozenset({Stream.TELEMETRY, Stream.RECORD, Stream.THINNED}),
    "m": frozenset({0}),
}
_KINDS: Mapping[int, str] = {0: "m", Stream.EVENT: "e", Stream.ENERGY: "n", Stream.TELEMETRY: "t"}
_INT64_MAX = 2**63 - 1
# Heads of CBOR arrays: of three elements, where a batch of events that is stored has two; of seven, where a block has six.
_VOLATILE_EVENTS = b"\x83"
_VOLATILE_BLOCK = b"\x87"
# In the body of an event, which is text: counters of 64 bits without a sign too.
_INTEGER_BITS_MAX = 64

ReadingRow = tuple[str, str, int, int, str, str, int, int | float | str | None, str, str]
"""A row of the table `readings`."""
EventRow = tuple[str, str, int, int, str, str | None, int, str]
"""A row of the table `events`."""


class RefusedError(Exception):
    """The message is not taken. `reason` is a stable word."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason
        self.text = text


class Message(msgspec.Struct, frozen=True):
    """A proven message of a gateway."""

    gateway: str
    kind: str
    """Last level of the topic: e, n, t, h or m."""
    identity: Identity
    packed: bytes
    """Codec byte and compressed document."""


class Keyring:
    """Our keys, and the public keys of the gateways; a new gateway's file is found without a restart."""

    def __init__(self, own: CloudKeys, directory: Path) -> None:
        self.own = own
        self._directory = directory
        self._gateways = load_gateway_publics(directory)
        self._loaded_at_s = time.monotonic()

    def signer(self, key_id: bytes) -> GatewayPublic:
        if key_id not in self._gateways and time.monotonic() - self._loaded_at_s > _RELOAD_INTERVAL_S:
            self._loaded_at_s = time.monotonic()
            try:
                self._gateways = load_gateway_publics(self._directory)
            except EdgegwError as fault:
                raise RefusedError("signer", f"key {key_id.hex()} is not known, and the keys cannot be read: {fault}") from fault
        signer = self._gateways.get(key_id)
        if signer is None:
            raise RefusedError("signer", f"no gateway has the key {key_id.hex()}")
        return signer


def open_message(topic: str, payload: bytes, keyring: Keyring) -> Message:
    """Proves and opens. A topic that is not of our layout says nothing: gateway and kind are then those of the signed header. Raises RefusedError."""
    try:
        sealed = take_apart(payload)
        gateway, kind = _parse_topic(topic) if topic.startswith("egw/") else (sealed.gateway, _kind_of(sealed.identity))
        _check_speaker(sealed, gateway, keyring)
        context = SCHEMA if kind == "m" else BATCH
        check_signature(sealed, context, keyring.signer(sealed.skid).verify)
        packed = open_sealed(sealed, context, keyring.own.open)
    except EnvelopeError as fault:
        raise RefusedError(fault.reason, str(fault)) from fault
    if sealed.identity.stream not in STREAMS_OF_TOPIC[kind] or (kind == "m") != (sealed.identity == NO_IDENTITY):
        raise RefusedError("topic", f"stream {sealed.identity.stream} on topic {kind}")
    return Message(gateway, kind, sealed.identity, packed)


def _kind_of(identity: Identity) -> str:
    return _KINDS.get(identity.stream, "h")


def _parse_topic(topic: str) -> tuple[str, str]:
    match topic.split("/"):
        case ["egw", "1", operator, station, gateway, kind] if kind in STREAMS_OF_TOPIC:
            return f"{operator}/{station}/{gateway}", kind
    raise RefusedError("topic", f"{topic[:80]} is none of ours")


def _check_speaker(sealed: Sealed, gateway: str, keyring: Keyring) -> None:
    if sealed.gateway != gateway:
        raise RefusedError("gateway", f"message of {sealed.gateway} on the topic of {gateway}")
    speaker = keyring.signer(sealed.skid).gateway
    if speaker != gateway:
        raise RefusedError("gateway", f"the key of {speaker} signs for {gateway}")


# -- content


def document_of(message: Message) -> bytes | SchemaPart:
    """What a message on topic m holds: a schema document, or a part of one. Raises RefusedError."""
    try:
        document = unpack(message.packed)
        return read_part(document) or document
    except BlockError as fault:
        raise RefusedError("content", str(fault)) from fault


def check_schema(document: bytes) -> None:
    """Raises RefusedError where it is no schema document."""
    try:
        sources = decode_schema(document)
    except BlockError as fault:
        raise RefusedError("content", str(fault)) from fault
    for source in sources.values():
        if len({point.name for point in source.points}) != len(source.points):
            raise RefusedError("content", f"source {source.source_id} names a point twice")


def is_volatile(message: Message) -> bool:
    """Sent from memory while the gateway's disk took nothing: the document of a batch has one element more. Of a batch that opened."""
    first = zlib.decompressobj(-15).decompress(message.packed[1:], 1)
    return first == (_VOLATILE_EVENTS if message.identity.stream == Stream.EVENT else _VOLATILE_BLOCK)


def block_of(message: Message) -> tuple[bytes, list[Row]]:
    """(schema hash, rows) of a batch of readings. Raises RefusedError."""
    try:
        schema, rows = decode_block(message.packed, message.identity.first)
    except BlockError as fault:
        raise RefusedError("content", str(fault)) from fault
    _check_count(message.identity, len(rows))
    return schema, rows


def event_rows(message: Message) -> tuple[list[EventRow], list[Identity]]:
    """Rows of a batch of events, and the ranges that its loss events declare lost. Raises RefusedError."""
    try:
        events = decode_events(message.packed)
    except BlockError as fault:
        raise RefusedError("content", str(fault)) from fault
    identity = message.identity
    _check_count(identity, len(events))
    epoch = f"{identity.epoch:016x}"
    rows: list[EventRow] = [
        (message.gateway, epoch, identity.stream, identity.first + rank, event.kind, event.device, _int64(event.at_ms), _json(event))
        for rank, event in enumerate(events)
    ]
    return rows, [lost for event in events if event.kind == "loss" and (lost := _lost_range(event)) is not None]


def _check_count(identity: Identity, count: int) -> None:
    if count != identity.last - identity.first + 1:
        raise RefusedError("content", f"{count} rows for sequences {identity.first} to {identity.last}")


def reading_rows(gateway: str, identity: Identity, sources: Mapping[int, SchemaSource], rows: list[Row]) -> list[ReadingRow]:
    """One row a value. Raises RefusedError when block and schema do not fit."""
    epoch = f"{identity.epoch:016x}"
    table: list[ReadingRow] = []
    for row in rows:
        source = sources.get(row.source_id)
        if source is None or len(source.points) != len(row.values):
            raise RefusedError("content", f"source {row.source_id} is not as its schema says")
        read_at_ms, clock, device, seq, quality = _int64(row.read_at_ms), row.clock.word, source.device, row.seq, row.quality
        for position, (point, value) in enumerate(zip(source.points, row.values, strict=True)):
            word = quality[position].word if position in quality else "good"
            table.append((gateway, epoch, identity.stream, seq, device, point.name, read_at_ms, _in_unit(value, point.decimals), word, clock))
    return table


def _in_unit(value: Value, decimals: int) -> int | float | str | None:
    """A scaled integer as a number in the point's unit: int by int division gives the double nearest to the meter's digits."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        if decimals > 0:
            return _quotient(value, 10**decimals)
        return _int64(value * 10**-decimals)
    if isinstance(value, bytes):
        return value.hex()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _quotient(value: int, divisor: int) -> float:
    try:
        return value / divisor
    except OverflowError as fault:
        raise RefusedError("content", "a value beyond every number") from fault


def _int64(number: int) -> int:
    if abs(number) > _INT64_MAX:
        raise RefusedError("content", "an integer of more than 64 bits")
    return number


def _json(event: Event) -> str:
    return json.dumps(_plain(event.body), ensure_ascii=False, separators=(",", ":"))


def _plain(item: object) -> object:
    """JSON has no bytes and no infinities: hexadecimal text, null. Raises RefusedError on what a gateway never writes."""
    match item:
        case dict():
            return {str(_plain(key)): _plain(value) for key, value in item.items()}
        case list():
            return [_plain(value) for value in item]
        case bytes():
            return item.hex()
        case float():
            return item if math.isfinite(item) else None
        case int() if item.bit_length() <= _INTEGER_BITS_MAX:
            return item
        case str() | None:
            return item
    raise RefusedError("content", f"the body of an event holds a {type(item).__name__} that is no plain value")


def _lost_range(event: Event) -> Identity | None:
    """{epoch, stream, first, last} of a loss event; the epoch as number, 8 bytes or 16 hexadecimal digits."""
    match event.body:
        case {"epoch": int() | bytes() | str() as epoch, "stream": int(stream), "first": int(first), "last": int(last)}:
            pass
        case _:
            return None
    try:
        number = int.from_bytes(epoch, "big") if isinstance(epoch, bytes) else int(epoch, 16) if isinstance(epoch, str) else epoch
    except ValueError:
        return None
    valid = 0 <= number < 2**64 and 0 < stream < 256 and 0 < first <= last <= _INT64_MAX
    return Identity(number, stream, first, last) if valid else None
