"""Runs of numbered readings to blocks (pure): one clock offset and trust in each, few enough values, small enough to be sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from edgegw.block import decode_schema, encode_block
from edgegw.model import Point, Reading, Source

# Bytes a value hardly fall beyond this (docs/performance.md), and a block is the least that is sent again after a fault.
VALUES_A_BLOCK = 10_000
# A sealed message is at most 15 KiB; header, encryption and signature take below 400 bytes, the rest is room for other envelopes.
BODY_BYTES_MAX = 14 * 1024


class Sealed(msgspec.Struct, frozen=True):
    """One block, ready for its row."""

    first: int
    last: int
    from_ms: int
    to_ms: int
    values: int
    body: bytes


def seal(schema: bytes, first_seq: int, readings: Sequence[Reading], *, stored: bool = True) -> list[Sealed]:
    """Readings of consecutive sequences of one epoch and stream to blocks."""
    blocks: list[Sealed] = []
    for run in _runs(readings):
        blocks.extend(_seal_run(schema, first_seq, run, stored=stored))
        first_seq += len(run)
    return blocks


def _runs(readings: Sequence[Reading]) -> Iterator[Sequence[Reading]]:
    """Splits where the clock's offset or trust changes and where a block would hold too many values."""
    start = values = 0
    clock = (0, 0)
    for index, reading in enumerate(readings):
        now = (reading.read_at_ms - reading.mono_ms, reading.clock)
        width = len(reading.values)
        if index > start and (now != clock or values + width > VALUES_A_BLOCK):
            yield readings[start:index]
            start, values = index, 0
        clock = now
        values += width
    if start < len(readings):
        yield readings[start:]


def _seal_run(schema: bytes, first_seq: int, run: Sequence[Reading], *, stored: bool) -> list[Sealed]:
    body = encode_block(schema, run, stored=stored)
    if len(body) > BODY_BYTES_MAX and len(run) > 1:
        half = len(run) // 2
        return _seal_run(schema, first_seq, run[:half], stored=stored) + _seal_run(schema, first_seq + half, run[half:], stored=stored)
    values = sum(len(reading.values) for reading in run)
    return [Sealed(first_seq, first_seq + len(run) - 1, run[0].read_at_ms, run[-1].read_at_ms, values, body)]


def sources_of(document: bytes) -> dict[int, Source]:
    """What sealing needs to know of the sources of an earlier configuration."""
    return {
        source.source_id: Source(
            source.source_id,
            source.device,
            "",
            source.period_ms,
            tuple(Point(point.name, point.decimals, point.unit, "") for point in source.points),
            source.device_class,
        )
        for source in decode_schema(document).values()
    }
