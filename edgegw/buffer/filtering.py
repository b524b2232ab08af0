"""What an uplink with a point filter is given: the same rows under the same identities, without the columns that it does not want (pure).

Rows stay even when nothing of them is wanted, so that every sequence can be confirmed. Each schema has a second one for the filter, with the
points that are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import msgspec

from edgegw.block import decode_block, encode_block, encode_schema, schema_hash
from edgegw.buffer.sealing import sources_of
from edgegw.model import Reading, Source


class View(msgspec.Struct, frozen=True):
    """A schema as one filter leaves it."""

    schema: bytes
    document: bytes
    sources: dict[int, Source]
    positions: dict[int, tuple[int, ...]]
    """Source id to the columns that stay."""


class Filter:
    """The patterns of one uplink: `energy.*`, `gun1.state`."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = tuple(patterns)
        self._views: dict[bytes, View] = {}

    def view(self, schema: bytes, document: bytes) -> View:
        """Raises BlockError when the document is none."""
        if schema not in self._views:
            self._views[schema] = self._made(document)
        return self._views[schema]

    def document(self, schema: bytes) -> bytes | None:
        """Of a filtered schema that was given out in this start."""
        return next((view.document for view in self._views.values() if view.schema == schema), None)

    def _made(self, document: bytes) -> View:
        whole = sources_of(document)
        positions = {source.source_id: tuple(at for at, point in enumerate(source.points) if self._wants(point.name)) for source in whole.values()}
        sources = {
            source.source_id: msgspec.structs.replace(source, points=tuple(source.points[at] for at in positions[source.source_id]))
            for source in whole.values()
        }
        filtered = encode_schema(sources.values())
        return View(schema_hash(filtered), filtered, sources, positions)

    def _wants(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self._patterns)


def filtered(packed: bytes, first_seq: int, view: View, *, stored: bool = True) -> tuple[bytes, int]:
    """(block, values) with the columns that the view leaves. Raises BlockError, KeyError or IndexError when block and view do not fit."""
    _, rows = decode_block(packed, first_seq)
    readings = []
    for row in rows:
        kept = view.positions[row.source_id]
        quality = {at: row.quality[position] for at, position in enumerate(kept) if position in row.quality}
        values = tuple(row.values[position] for position in kept)
        readings.append(Reading(view.sources[row.source_id], row.read_at_ms, row.mono_ms, row.clock, values, quality))
    return encode_block(view.schema, readings, stored=stored), sum(len(reading.values) for reading in readings)
