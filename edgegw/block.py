"""Columns to bytes and back: the document that is stored, sent and opened alike (docs/uplink.md, `block.cddl`).

    packed  = codec byte || compressed document             codec 1 = raw deflate
    body    = [1, schema, t0, m0, clk, [+ run], ? false]    one epoch, stream, schema and clock offset; times in ms; false: not on the disk yet
    run     = [src, dt, per, tr, cols, ? q]                 runs ascend by src; row i is at m0 + dt + sum(per + tr[0..i-1])
    col     = null / int / [int, + int] / {0: [+ literal]}  never read / constant / first and differences / literal values
    qual    = [col or null, from, to, code]                 rows from..to (to belongs to it); null = the whole row
    events  = [2, [+ [at, mono, clk, kind, device, body]], ? false]     consecutive sequences
    schema  = [1, rev, [+ [src, device, kind, per, [+ [point, decimals, unit]]]]]

A column holds only entries that have a value. The sequence of a row is the first of the block plus its rank by (time, src).
Why columns of scaled integers and deflate: 0.6-0.9 bytes a value at 10,000 values against 15 for JSON (docs/performance.md).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from operator import attrgetter, itemgetter, sub
from typing import Any

import cbor2
import msgspec

from edgegw.model import ClockTrust, Event, Quality, Reading, Source, Value

CODEC_DEFLATE = 1
# Within 1 % of zstd on these documents, and in the standard library of every receiver.
_DEFLATE_LEVEL = 6
# A receiver refuses more than this (docs/uplink.md): a sealed batch of 15 KiB can inflate to 15 MiB of zeros.
PACKED_BYTES_MAX = 15 * 1024
INFLATED_BYTES_MAX = 4 * 1024 * 1024
VALUES_MAX = 100_000
_NESTING_MAX = 12
_CLOCK_CODES = frozenset(int(trust) for trust in ClockTrust)
_INTEGER = frozenset({int})
_LITERAL = frozenset({int, float, str, bytes, bool})


class BlockError(ValueError):
    """The document is not one that edgegw wrote. Says what is wrong with it."""


class Row(msgspec.Struct, frozen=True):
    """One reading of an opened block: what the receiver and the history see."""

    seq: int
    source_id: int
    mono_ms: int
    read_at_ms: int
    clock: ClockTrust
    values: tuple[Value, ...]
    quality: dict[int, Quality]


class SchemaPoint(msgspec.Struct, frozen=True):
    name: str
    decimals: int
    unit: str


class SchemaSource(msgspec.Struct, frozen=True):
    """One source as the schema document describes it."""

    source_id: int
    device: str
    device_class: str
    period_ms: int
    points: tuple[SchemaPoint, ...]


# -- schema documents


def encode_schema(sources: Iterable[Source], revision: int = 0) -> bytes:
    """The canonical document of a configuration: equal sources give equal bytes."""
    rows = [
        [source.source_id, source.device, source.device_class, source.period_ms, [[p.name, p.decimals, p.unit] for p in source.points]]
        for source in sorted(sources, key=lambda source: source.source_id)
    ]
    return cbor2.dumps([1, revision, rows], canonical=True)


def schema_hash(document: bytes) -> bytes:
    """The name of a schema document: the first 8 bytes of its SHA-256."""
    return hashlib.sha256(document).digest()[:8]


def decode_schema(document: bytes) -> dict[int, SchemaSource]:
    """A schema document to {source id: source}. Raises BlockError."""
    match _load(document):
        case [1, int(), [*rows]]:
            return {source.source_id: source for source in map(_schema_source, rows)}
    raise BlockError("not a schema document of version 1")


def _schema_source(row: object) -> SchemaSource:
    match row:
        case [int(src), str(device), str(kind), int(period_ms), [*points]]:
            return SchemaSource(src, device, kind, period_ms, tuple(_schema_point(point) for point in points))
    raise BlockError("a source of the schema document is not [src, device, kind, per, points]")


def _schema_point(row: object) -> SchemaPoint:
    match row:
        case [str(name), int(decimals), str(unit)] if -12 <= decimals <= 12:
            return SchemaPoint(name, decimals, unit)
    raise BlockError("a point of the schema document is not [point, decimals, unit]")


# -- readings


def encode_block(schema: bytes, readings: Sequence[Reading], *, stored: bool = True) -> bytes:
    """Readings of one epoch and stream, ordered by (mono_ms, source id), all under one clock offset and trust, to a packed block. Not `stored`: volatile,
    sent while no disk has them.
    """
    first = readings[0]
    m0 = first.mono_ms
    by_source: dict[int, list[Reading]] = {}
    for reading in readings:
        by_source.setdefault(reading.source.source_id, []).append(reading)
    runs = [_encode_run(src, rows, m0) for src, rows in sorted(by_source.items())]
    return pack(cbor2.dumps([1, schema, first.read_at_ms, m0, int(first.clock), runs, *_mark(stored)]))


def _mark(stored: bool) -> list[bool]:  # noqa: FBT001 - the word of the document
    return [] if stored else [False]


def _encode_run(src: int, rows: list[Reading], m0: int) -> list[Any]:
    times = [row.mono_ms for row in rows]
    period_ms = rows[0].source.period_ms
    residuals = [gap - period_ms for gap in map(sub, times[1:], times)]
    columns = [_encode_column(column) for column in zip(*map(attrgetter("values"), rows), strict=True)]
    run: list[Any] = [src, times[0] - m0, period_ms, residuals, columns]
    quality = _encode_quality(rows)
    if quality:
        run.append(quality)
    return run


def _encode_column(column: tuple[Value, ...]) -> Any:
    entries = [value for value in column if value is not None] if None in column else column
    if not entries:
        return None
    if set(map(type, entries)) != {int}:
        return {0: list(entries)}
    first: Any = entries[0]
    if entries.count(first) == len(entries):
        return first
    return [first, *map(sub, entries[1:], entries)]


def _encode_quality(rows: list[Reading]) -> list[list[int | None]]:
    """Runs of equal quality per column; a row whose every point has one quality counts as a whole row."""
    marks: dict[tuple[int | None, int], list[int]] = {}
    for index, row in enumerate(rows):
        if not row.quality:
            continue
        codes = set(row.quality.values())
        if len(row.quality) == len(row.values) and len(codes) == 1:
            marks.setdefault((None, int(codes.pop())), []).append(index)
            continue
        for position, code in row.quality.items():
            marks.setdefault((position, int(code)), []).append(index)
    return [
        [position, start, end, code]
        for (position, code), indexes in sorted(marks.items(), key=lambda item: (item[0][0] is not None, item[0]))
        for start, end in _stretches(indexes)
    ]


def _stretches(indexes: list[int]) -> list[tuple[int, int]]:
    """Ascending indexes to stretches without a hole: [1, 2, 5] to [(1, 2), (5, 5)]."""
    starts = [indexes[0], *(after for before, after in pairwise(indexes) if after != before + 1)]
    ends = [*(before for before, after in pairwise(indexes) if after != before + 1), indexes[-1]]
    return list(zip(starts, ends, strict=True))


def decode_block(packed: bytes, first_seq: int) -> tuple[bytes, list[Row]]:
    """A packed block to (schema hash, rows in sequence order). Raises BlockError; never more than VALUES_MAX values."""
    match _load(unpack(packed)):
        case [1, bytes(schema), int(t0), int(m0), int(clk), [*runs], *mark] if len(schema) == 8 and mark in ([], [False]):
            pass
        case _:
            raise BlockError("not a block of version 1")
    try:
        clock = ClockTrust(clk)
        _check_size(runs)
        rows = [row for run in runs for row in _decode_run(run, m0)]
    except BlockError:
        raise
    except (TypeError, ValueError, IndexError, KeyError, OverflowError) as fault:
        raise BlockError(f"a run of the block is damaged: {fault}") from fault
    rows.sort(key=itemgetter(0, 1))
    return schema, [Row(first_seq + rank, src, mono, t0 + mono - m0, clock, values, quality) for rank, (mono, src, values, quality) in enumerate(rows)]


def _check_size(runs: list[Any]) -> None:
    if sum((len(run[3]) + 1) * max(1, len(run[4])) for run in runs) > VALUES_MAX:
        raise BlockError(f"more than {VALUES_MAX} values")


def _only(types: frozenset[type], items: Iterable[object]) -> bool:
    """A sink cannot hold what else CBOR knows: tags, maps, big floats."""
    return types.issuperset(map(type, items))


def _decode_run(run: Any, m0: int) -> list[tuple[int, int, tuple[Value, ...], dict[int, Quality]]]:
    src, dt, period_ms, residuals, columns, *rest = run
    if not isinstance(columns, list) or not _only(_INTEGER, (src, dt, period_ms, *residuals)):
        raise BlockError("a run of the block has no list of columns, or a source or time that is no integer")
    length = len(residuals) + 1
    times = list(accumulate(residuals, lambda at, residual: at + period_ms + residual, initial=m0 + dt))
    quality = _decode_quality(rest[0] if rest else [], length, len(columns))
    decoded = [_decode_column(column, position, length, quality) for position, column in enumerate(columns)]
    rows = zip(*decoded, strict=True) if decoded else [()] * length
    return [(times[i], src, values, quality[i]) for i, values in enumerate(rows)]


def _decode_quality(entries: list[Any], length: int, width: int) -> list[dict[int, Quality]]:
    quality: list[dict[int, Quality]] = [{} for _ in range(length)]
    left = length * width
    for position, start, end, code in entries:
        if not 0 <= start <= end < length or (position is not None and not 0 <= position < width):
            raise BlockError("a quality entry points outside its run")
        left -= (end - start + 1) * (width if position is None else 1)
        if left < 0:
            raise BlockError("more qualities than values")
        for index in range(start, end + 1):
            quality[index].update(dict.fromkeys(range(width) if position is None else (position,), Quality(code)))
    return quality


def _decode_column(column: Any, position: int, length: int, quality: list[dict[int, Quality]]) -> list[Value]:
    valued = [i for i in range(length) if quality[i].get(position, Quality.GOOD).has_value]
    entries = _entries(column, len(valued))
    if len(entries) != len(valued):
        raise BlockError(f"column {position} has {len(entries)} entries for {len(valued)} values")
    if len(valued) == length:
        return entries
    values: list[Value] = [None] * length
    for index, value in zip(valued, entries, strict=True):
        values[index] = value
    return values


def _entries(column: Any, count: int) -> list[Value]:
    match column:
        case None:
            return []
        case bool():
            raise BlockError("a column is neither null, integer, list nor literal")
        case int():
            return [column] * count
        case list() if _only(_INTEGER, column):
            return list(accumulate(column))
        case {0: list() as literal} if _only(_LITERAL, literal):
            return literal
    raise BlockError("a column is neither null, integer, list nor literal")


def corrected(packed: bytes, offset_ms: int) -> tuple[bytes, int] | None:
    """A block whose clock was unset or held, under the offset (wall minus monotonic time) that is known now, and what was added to its times; None for
    any other block. Raises BlockError.
    """
    match _load(unpack(packed)):
        case [1, bytes(schema), int(t0), int(m0), ClockTrust.UNSET | ClockTrust.HELD, [*runs]]:
            moved_ms = m0 + offset_ms - t0
            return pack(cbor2.dumps([1, schema, t0 + moved_ms, m0, int(ClockTrust.CORRECTED), runs])), moved_ms
    return None


# -- events


def encode_events(events: Sequence[Event], *, stored: bool = True) -> bytes:
    """Events of consecutive sequences to a packed batch."""
    return pack(cbor2.dumps([2, [_plain_event(event) for event in events], *_mark(stored)]))


def _plain_event(event: Event) -> list[object]:
    return [event.at_ms, event.mono_ms, int(event.clock), event.kind, event.device, dict(event.body)]


def decode_events(packed: bytes) -> list[Event]:
    """A packed batch of events to events in sequence order. Raises BlockError."""
    match _load(unpack(packed)):
        case [2, [*rows], *mark] if mark in ([], [False]):
            return [_decode_event(row) for row in rows]
    raise BlockError("not a batch of events of version 2")


def _decode_event(row: object) -> Event:
    match row:
        case [int(at_ms), int(mono_ms), int(clk), str(kind), str() | None as device, dict(body)] if clk in _CLOCK_CODES:
            return Event(kind, at_ms, mono_ms, ClockTrust(clk), device, _named(body))
    raise BlockError("an event is not [at, mono, clk, kind, device, body]")


def _named(body: Mapping[Any, Any]) -> dict[str, object]:
    if not all(isinstance(key, str) for key in body):
        raise BlockError("the body of an event has a key that is no text")
    return dict(body)


# -- packing


def pack(document: bytes) -> bytes:
    """Codec byte and compressed document."""
    packer = zlib.compressobj(_DEFLATE_LEVEL, zlib.DEFLATED, -15)
    return bytes((CODEC_DEFLATE,)) + packer.compress(document) + packer.flush()


def unpack(packed: bytes) -> bytes:
    """The document, at most INFLATED_BYTES_MAX of it. Raises BlockError."""
    if not packed or packed[0] != CODEC_DEFLATE:
        raise BlockError(f"unknown codec {packed[0] if packed else 'missing'}")
    opener = zlib.decompressobj(-15)
    try:
        document = opener.decompress(packed[1:], INFLATED_BYTES_MAX)
    except zlib.error as fault:
        raise BlockError(f"damaged compression: {fault}") from fault
    if not opener.eof and len(document) >= INFLATED_BYTES_MAX:
        raise BlockError(f"inflates to more than {INFLATED_BYTES_MAX} bytes")
    if not opener.eof or opener.unused_data:
        raise BlockError("compression cut short or followed by something")
    return document


def _load(document: bytes) -> Any:
    try:
        loaded = cbor2.loads(document)
    except (cbor2.CBORDecodeError, ValueError, RecursionError, OverflowError, MemoryError) as fault:
        raise BlockError(f"not CBOR: {fault}") from fault
    _check_nesting(loaded, _NESTING_MAX)
    return loaded


def _check_nesting(item: object, left: int) -> None:
    if left == 0:
        raise BlockError(f"nested deeper than {_NESTING_MAX}")
    children = item if isinstance(item, list) else item.values() if isinstance(item, dict) else ()
    for child in children:
        if isinstance(child, (list, dict)):
            _check_nesting(child, left - 1)
