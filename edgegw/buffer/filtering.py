"""What an uplink with a point filter is given: the same rows under the same identities, without the columns that it does not want (pure).

Rows stay even when nothing of them is wanted, so that every sequence can be confirmed. Each schema has a second one for the filter, with the
points that are left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec

from edgegw.block import decode_block, encode_block, encode_schema, schema_hash
from edgegw.buffer.sealing import sources_of
from edgegw.model import Reading, Source

# Where the file keeps them.
STATE_KEY = "buffer/filters"
# Changes of one uplink that are told apart; data that is older than so many was given out long ago.
SPANS_MAX = 64
_ALWAYS = -(2**62)


class Span(msgspec.Struct, frozen=True):
    """From the start of this number on."""

    first_epoch: int
    patterns: tuple[str, ...]


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


class Filters:
    """What each uplink wants, by the start in which it was read: an identity has one content, so a change of the configuration holds for new starts only."""

    def __init__(self, chosen: Mapping[str, Sequence[str]], remembered: bytes | None, current: int) -> None:
        """`remembered` is what `document` gave in the last start, None in a file that has none: then what holds now has always held."""
        before = _read(remembered)
        self._spans: dict[str, list[Span]] = {}
        for name, spans in before.items():
            if name not in chosen:
                self._spans[name] = spans  # it may come back
        for name, patterns in chosen.items():
            spans = before.get(name, [])
            if not spans or spans[-1].patterns != tuple(patterns):
                spans = [*spans, Span(current if spans else _ALWAYS, tuple(patterns))]
            self._spans[name] = spans[-SPANS_MAX:]
        self._filters = {span.patterns: Filter(span.patterns) for spans in self._spans.values() for span in spans if span.patterns}

    def of(self, name: str, epoch: int) -> Filter | None:
        """For what was read in the start of that number; None: everything is wanted."""
        spans = self._spans.get(name, [])
        found = next((span for span in reversed(spans) if span.first_epoch <= epoch), spans[0] if spans else None)
        return self._filters.get(found.patterns) if found else None

    def schema_document(self, schema: bytes) -> bytes | None:
        """Of a filtered schema that was given out in this start."""
        return next((document for chosen in self._filters.values() if (document := chosen.document(schema))), None)

    def document(self) -> bytes:
        """To be remembered (JSON)."""
        return msgspec.json.encode(self._spans)


def _read(remembered: bytes | None) -> dict[str, list[Span]]:
    if remembered is None:
        return {}
    try:
        return msgspec.json.decode(remembered, type=dict[str, list[Span]])
    except msgspec.DecodeError:
        return {}


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
