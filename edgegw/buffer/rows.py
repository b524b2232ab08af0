"""Readings and events as bytes for rows of the database: msgpack, small and quick, read by nobody but this program.

tail body  = [+ [source_id, read_at_ms, mono_ms, clock, [* value], {position: quality} or nil]]
event body = [mono_ms, clock, {* text: plain}]
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edgegw.model import ClockTrust, Event, Quality, Reading, Source, Value

_log = logging.getLogger("edgegw.buffer")

# Packed, an event must fit a sealed message of 15 KiB; what does not compress grows by a few bytes only.
EVENT_BODY_BYTES_MAX = 8 * 1024
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1  # what msgpack can hold

_Row = tuple[int, int, int, int, tuple[Any, ...], dict[int, int] | None]
_encoder = msgspec.msgpack.Encoder()
_rows_decoder = msgspec.msgpack.Decoder(list[_Row])
_event_decoder = msgspec.msgpack.Decoder(tuple[int, int, dict[str, object]])


class RowError(ValueError):
    """The bytes of a row are not what was written."""


def encode_rows(readings: Sequence[Reading]) -> bytes:
    return _encoder.encode([(r.source.source_id, r.read_at_ms, r.mono_ms, r.clock, r.values, dict(r.quality) if r.quality else None) for r in readings])


def decode_rows(body: bytes, sources: Mapping[int, Source]) -> list[Reading]:
    """Raises RowError when the body is damaged or names a source that is not among `sources`."""
    try:
        return [_reading(row, sources) for row in _rows_decoder.decode(body)]
    except (msgspec.DecodeError, KeyError, ValueError) as fault:
        raise RowError(str(fault)) from fault


def _reading(row: _Row, sources: Mapping[int, Source]) -> Reading:
    source_id, read_at_ms, mono_ms, clock, values, quality = row
    codes = {position: Quality(code) for position, code in (quality or {}).items()}
    return Reading(sources[source_id], read_at_ms, mono_ms, ClockTrust(clock), values, codes)


def storable(reading: Reading) -> Reading:
    """The reading with every value that no row can hold (an integer beyond 64 bits, a foreign type) taken out as bad."""
    bad = [position for position, value in enumerate(reading.values) if not _is_plain(value)]
    if not bad:
        return reading
    _log.error("%s: %d values that cannot be stored, kept as bad", reading.source.device, len(bad))
    values = tuple(None if position in bad else value for position, value in enumerate(reading.values))
    return msgspec.structs.replace(reading, values=values, quality={**reading.quality, **dict.fromkeys(bad, Quality.BAD)})


def _is_plain(value: Value) -> bool:
    if isinstance(value, int):
        return _INT_MIN <= value <= _INT_MAX
    return value is None or type(value) in (float, str, bytes)


def encode_event(event: Event) -> bytes:
    """Raises TypeError, ValueError or OverflowError when the body is not plain. A body that is too long keeps what fits and says so."""
    body = _encoder.encode((event.mono_ms, int(event.clock), dict(event.body)))
    if len(body) <= EVENT_BODY_BYTES_MAX:
        return body
    _log.warning("event %s of %s has %d bytes, cut to %d", event.kind, event.device, len(body), EVENT_BODY_BYTES_MAX)
    return _encoder.encode((event.mono_ms, int(event.clock), _cut_body(event.body, len(body))))


def _cut_body(body: Mapping[str, object], size_bytes: int) -> dict[str, object]:
    kept: dict[str, object] = {"truncated": size_bytes}
    room = EVENT_BODY_BYTES_MAX - 64
    for key, value in body.items():
        needed = len(_encoder.encode({key: value}))
        if needed <= room:
            kept[key] = value
            room -= needed
    return kept


def decode_event(kind: str, device: str | None, at_ms: int, body: bytes) -> Event:
    """Raises RowError."""
    try:
        mono_ms, clock, plain = _event_decoder.decode(body)
        return Event(kind, at_ms, mono_ms, ClockTrust(clock), device, plain)
    except (msgspec.DecodeError, ValueError) as fault:
        raise RowError(str(fault)) from fault
