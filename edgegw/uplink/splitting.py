"""A batch that is larger than the broker's packets, as two halves with ranges of their own. Pure.

A row keeps its sequence, its time and its values, however its block is cut (docs/architecture.md, identity rule 2): the receiver cannot tell
halves from blocks that were stored so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cbor2
import msgspec

from edgegw.block import Row, decode_block, decode_events, encode_block, encode_events, unpack
from edgegw.model import Batch, Identity, Reading, Source, Stream


def halves(batch: Batch) -> tuple[Batch, ...]:
    """Two batches, first the older rows; empty where a single row is left. Raises BlockError when the batch cannot be read."""
    first, last = batch.identity.first, batch.identity.last
    if first == last:
        return ()
    middle = first + (last - first + 1) // 2
    bodies = _halved_events(batch.body, middle - first) if batch.identity.stream == Stream.EVENT else _halved_block(batch.body, first, middle - first)
    ranges = ((first, middle - 1), (middle, last))
    return tuple(_part(batch, *borders, body, values) for borders, (body, values) in zip(ranges, bodies, strict=True))


def _part(batch: Batch, first: int, last: int, body: bytes, values: int) -> Batch:
    """The block's number stays: it is the place in the store's order that the lane goes back to."""
    identity = Identity(batch.identity.epoch, batch.identity.stream, first, last)
    return msgspec.structs.replace(batch, identity=identity, body=body, values=values)


def _halved_events(packed: bytes, count: int) -> tuple[tuple[bytes, int], tuple[bytes, int]]:
    events = decode_events(packed)
    stored = _is_stored(cbor2.loads(unpack(packed)), 2)
    return (encode_events(events[:count], stored=stored), count), (encode_events(events[count:], stored=stored), len(events) - count)


def _halved_block(packed: bytes, first: int, count: int) -> tuple[tuple[bytes, int], tuple[bytes, int]]:
    schema, rows = decode_block(packed, first)
    document = cbor2.loads(unpack(packed))
    periods_ms = {run[0]: run[2] for run in document[5]}
    stored = _is_stored(document, 6)
    return _encoded(schema, rows[:count], periods_ms, stored=stored), _encoded(schema, rows[count:], periods_ms, stored=stored)


def _is_stored(document: Sequence[Any], length: int) -> bool:
    """A document with one element more is volatile."""
    return len(document) == length


def _encoded(schema: bytes, rows: Sequence[Row], periods_ms: dict[int, int], *, stored: bool) -> tuple[bytes, int]:
    sources = {src: Source(src, "", "", period_ms, ()) for src, period_ms in periods_ms.items()}
    readings = [Reading(sources[row.source_id], row.read_at_ms, row.mono_ms, row.clock, row.values, row.quality) for row in rows]
    return encode_block(schema, readings, stored=stored), sum(len(row.values) for row in rows)
