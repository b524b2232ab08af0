"""What the file says of itself: how much lies in it, what waits for whom, what it grows by, and its newest samples. Short looks only (history.py)."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from edgegw.buffer.history import Reader, Sample, Span
from edgegw.buffer.limits import Limits
from edgegw.model import Stream

_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
# A month of the mobile tariff.
_MONTH_DAYS = 30
# What the rate is taken from: the last day, or what there is of it.
_HEADS_A_LOOK = 500
# Row, index entries and half a page that stays empty, beside the body of a block (measured: docs/performance.md).
_ROW_BYTES = 600
# Header, encryption, signature and MQTT around a body, and its receipt, on the wire.
_BATCH_BYTES = 700
_STREAM_WORDS = {Stream.EVENT: "event", Stream.ENERGY: "energy", Stream.TELEMETRY: "telemetry", Stream.RECORD: "record", Stream.THINNED: "thinned"}


class Rate(msgspec.Struct, frozen=True):
    """What was stored in the last day, or since there is anything."""

    span_ms: int
    values: int
    file_bytes: int
    wire_bytes: int


def describe(reader: Reader, limits: Limits) -> dict[str, Any]:
    """The file as plain data: `edgegw buffer status`."""
    epochs = reader.epochs()
    used, size = _used_bytes(reader)
    disk = os.statvfs(reader.path.parent)
    return {
        "file": str(reader.path),
        "file_bytes": size + _wal_bytes(reader),
        "used_bytes": used,
        "bytes_max": limits.bytes_max,
        "disk_free_bytes": disk.f_bavail * disk.f_frsize,
        "disk_bytes": disk.f_blocks * disk.f_frsize,
        "starts": len(epochs),
        "tail_rows": reader.ask("SELECT count(*) FROM tail")[0][0],
        "streams": [_stream(reader, stream) for stream in Stream],
        "uplinks": [_uplink(reader, name) for (name,) in reader.ask("SELECT DISTINCT uplink FROM cursor ORDER BY uplink")],
    }


def _stream(reader: Reader, stream: Stream) -> dict[str, Any]:
    if stream == Stream.EVENT:
        count, first, last = reader.ask("SELECT count(*), min(at_ms), max(at_ms) FROM event")[0]
        return {"stream": "event", "blocks": 0, "values": count, "from_ms": first, "to_ms": last}
    blocks, values = reader.ask("SELECT count(*), coalesce(sum(vals), 0) FROM block WHERE stream = ?", stream)[0]
    ends = [reader.ask(f"SELECT {column} FROM block WHERE stream = ? ORDER BY block_id {order} LIMIT 1", stream) for column, order in _ENDS]  # noqa: S608
    first, last = (found[0][0] if found else None for found in ends)
    return {"stream": _STREAM_WORDS[stream], "blocks": blocks, "values": values, "from_ms": first, "to_ms": last}


_ENDS = (("from_ms", "ASC"), ("to_ms", "DESC"))


def _uplink(reader: Reader, name: str) -> dict[str, Any]:
    """What lies behind the uplink's mark, some of which may be confirmed already."""
    marks = dict(reader.ask("SELECT stream, number FROM cursor WHERE uplink = ?", name))
    waiting = {"event": reader.ask("SELECT count(*) FROM event WHERE number > ?", marks.get(int(Stream.EVENT), 0))[0][0]}
    for stream in (Stream.ENERGY, Stream.TELEMETRY, Stream.RECORD, Stream.THINNED):
        question = "SELECT coalesce(sum(vals), 0) FROM block WHERE stream = ? AND block_id > ?"
        waiting[_STREAM_WORDS[stream]] = reader.ask(question, stream, marks.get(int(stream), 0))[0][0]
    return {"name": name, "waiting": waiting}


def capacity(reader: Reader, limits: Limits) -> dict[str, Any]:
    """How long the room lasts and what a month costs at the present rate: `edgegw capacity`.

    Room is what may be written until something that nobody has confirmed must be thinned: confirmed data makes room before.
    """
    rate = rate_of(reader)
    used, _ = _used_bytes(reader)
    confirmed = _confirmed_bytes(reader)
    room_bytes = max(0, limits.bytes_max - limits.log_bytes - used + confirmed)
    hours = rate.span_ms / _HOUR_MS
    per_hour = rate.file_bytes / hours if hours else 0.0
    days = hours / 24
    return {
        "span_h": round(hours, 2),
        "values_per_s": round(rate.values / (rate.span_ms / 1000), 2) if rate.span_ms else 0.0,
        "bytes_per_value": round(rate.file_bytes / rate.values, 2) if rate.values else None,
        "file_mb_per_day": round(rate.file_bytes / days / 1e6, 2) if days else 0.0,
        "sent_mb_per_month": round(rate.wire_bytes / days * _MONTH_DAYS / 1e6, 1) if days else 0.0,
        "room_bytes": room_bytes,
        "room_h": round(room_bytes / per_hour, 1) if per_hour else None,
        "bytes_max": limits.bytes_max,
        "used_bytes": used,
    }


def rate_of(reader: Reader) -> Rate:
    """From the newest block back over a day."""
    newest = oldest = None
    values = body_bytes = blocks = 0
    question = "SELECT block_id, from_ms, to_ms, vals, length(body) FROM block WHERE block_id < ? ORDER BY block_id DESC LIMIT ?"
    before = 2**62
    while rows := reader.ask(question, before, _HEADS_A_LOOK):
        before = rows[-1][0]
        newest = rows[0][2] if newest is None else newest
        day = [row for row in rows if row[2] > newest - _DAY_MS]
        values, body_bytes, blocks = values + sum(row[3] for row in day), body_bytes + sum(row[4] for row in day), blocks + len(day)
        oldest = min((row[1] for row in day), default=oldest) if oldest is None else min([oldest, *(row[1] for row in day)])
        if len(day) < len(rows):
            break
    if newest is None or oldest is None:
        return Rate(0, 0, 0, 0)
    return Rate(max(0, newest - oldest), values, body_bytes + blocks * _ROW_BYTES, body_bytes + blocks * _BATCH_BYTES)


def newest(reader: Reader, count: int, span: Span) -> list[Sample]:
    """The last samples that were stored, oldest first: `edgegw buffer tail`."""
    found: list[Sample] = []
    blocks = 4
    while True:
        start = reader.ask("SELECT min(block_id) FROM (SELECT block_id FROM block ORDER BY block_id DESC LIMIT ?)", blocks)[0][0] or 0
        found = list(reader.samples(span, after=start - 1))
        if len(found) >= count or blocks > _BLOCKS_LOOKED_AT_MAX or start <= 1:
            return sorted(found, key=lambda sample: sample.read_at_ms)[-count:]
        blocks *= 8


# For the last samples of a device that has been silent for long, no more than this is searched.
_BLOCKS_LOOKED_AT_MAX = 2_000


def _used_bytes(reader: Reader) -> tuple[int, int]:
    """(bytes in use, bytes of the file); freed pages are room."""
    pages, free, size = (reader.ask(f"PRAGMA {name}")[0][0] for name in ("page_count", "freelist_count", "page_size"))
    return (pages - free) * size, pages * size


def _confirmed_bytes(reader: Reader) -> int:
    """What lies before every uplink's mark: it goes first when room is needed."""
    marks: dict[int, list[int]] = {}
    for stream, number in reader.ask("SELECT stream, number FROM cursor"):
        marks.setdefault(stream, []).append(number)
    total = 0
    for stream, numbers in marks.items():
        if stream != Stream.EVENT:
            values, blocks = reader.ask("SELECT coalesce(sum(vals), 0), count(*) FROM block WHERE stream = ? AND block_id <= ?", stream, min(numbers))[0]
            total += blocks * _ROW_BYTES + values  # about a byte a value: bodies are not read for this
    return total


def _wal_bytes(reader: Reader) -> int:
    wal = reader.path.with_name(reader.path.name + "-wal")
    return wal.stat().st_size if wal.exists() else 0
