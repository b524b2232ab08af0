"""What may go from the file, in which order, and the record of what was lost by it.

By age: only what every cloud has confirmed, each class after its own time. For room, from the first step to the last:

    confirmed          telemetry, thinned, records, energy, events
    unsent telemetry   thinned to a row a source and quarter of an hour (thinning.py)
    unsent             thinned, records, energy, then events save the losses themselves

What takes away something that nobody has confirmed gives `Lost` records, which go to the cloud as loss events in the same transaction.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import msgspec

from edgegw.block import BlockError, Row, decode_block, encode_schema, schema_hash
from edgegw.buffer import losses
from edgegw.buffer.blocks import Lost
from edgegw.buffer.outgoing import Outgoing
from edgegw.buffer.sealing import sources_of
from edgegw.buffer.thinning import QUARTER_MS, thin, thinned_sources
from edgegw.buffer.uplinks import BLOCK_STREAMS, Header
from edgegw.clock import BUILD_DATE_MS
from edgegw.model import Reading, Stream

# Blocks of one transaction: a few milliseconds, so that a commit never waits long.
BLOCKS_A_STEP = 64
# Values that are thinned at one time: two quarters of an hour of the reference station, 0.2 s of the writer's time.
VALUES_THINNED_A_STEP = 200_000
_ENDLESS = 2**63 - 1
_DAY_MS = 86_400_000


class Thinned(NamedTuple):
    """Thinned readings of one layout, not numbered yet."""

    schema: bytes
    document: bytes
    readings: list[Reading]


class Removal(msgspec.Struct, frozen=True):
    """What one step takes out of the file."""

    stream: int
    headers: list[Header]
    lost: list[Lost]
    reason: str = losses.BUFFER_FULL
    thinned: tuple[Thinned, ...] = ()


class Ages(msgspec.Struct, frozen=True):
    """How long what every cloud has is kept, by class."""

    readings_days: int
    records_days: int
    events_days: int

    def days(self, stream: int) -> int:
        return self.events_days if stream == Stream.EVENT else self.records_days if stream == Stream.RECORD else self.readings_days


Step = Callable[[sqlite3.Connection, Outgoing], Removal | None]


def next_removal(connection: sqlite3.Connection, outgoing: Outgoing, *, without_loss: bool = False) -> Removal | None:
    """The oldest of the least worth; None when nothing may go."""
    for step in _CONFIRMED if without_loss else (*_CONFIRMED, *_UNSENT):
        removal = step(connection, outgoing)
        if removal is not None:
            return removal
    return None


def next_aged(connection: sqlite3.Connection, outgoing: Outgoing, ages: Ages, now_ms: int) -> Removal | None:
    """What every cloud has and is older than its class is kept. `now_ms` must be a wall time that can be trusted."""
    for stream in (Stream.EVENT, *BLOCK_STREAMS):
        headers = _oldest(connection, stream, outgoing.confirmed_by_all(stream))
        before_ms = now_ms - ages.days(stream) * _DAY_MS
        # What was read before the clock was set (from_ms of 1970) is as old as what follows it.
        known = [index for index, header in enumerate(headers) if header.from_ms >= BUILD_DATE_MS]
        young = next((index for index in known if headers[index].from_ms >= before_ms), len(headers))
        old = [index for index in known if index < young]
        if old:
            return Removal(stream, headers[: old[-1] + 1], [])
    return None


def remove(connection: sqlite3.Connection, removal: Removal) -> None:
    """Inside the caller's transaction."""
    table, column = ("event", "number") if removal.stream == Stream.EVENT else ("block", "block_id")
    connection.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(header.number,) for header in removal.headers])  # noqa: S608 - names of our own


# -- the steps


def _confirmed(stream: int) -> Step:
    def step(connection: sqlite3.Connection, outgoing: Outgoing) -> Removal | None:
        headers = _oldest(connection, stream, outgoing.confirmed_by_all(stream))
        return Removal(stream, headers, []) if headers else None

    return step


def _unsent(stream: int) -> Step:
    def step(connection: sqlite3.Connection, outgoing: Outgoing) -> Removal | None:
        # The losses themselves are the last word on what is gone: they stay.
        headers = _oldest_events(connection, outgoing.synced_number, losses.KIND) if stream == Stream.EVENT else _oldest(connection, stream, _ENDLESS)
        wanted = [header for header in headers if not outgoing.is_confirmed(stream, header)]
        counts = {header.number: Counter(row.source_id for row in _open(connection, header)[1]) for header in wanted if stream != Stream.EVENT}
        return Removal(stream, headers, list(_losses(outgoing, stream, wanted, counts))) if headers else None

    return step


def _thin_telemetry(connection: sqlite3.Connection, outgoing: Outgoing) -> Removal | None:
    headers = _whole_quarters(_oldest(connection, Stream.TELEMETRY, _ENDLESS, BLOCKS_A_STEP + 1))
    if not headers:
        return None
    wanted = [header for header in headers if not outgoing.is_confirmed(Stream.TELEMETRY, header)]
    opened = {header.number: _open(connection, header) for header in wanted}
    counts = {number: Counter(row.source_id for row in rows) for number, (_, rows) in opened.items()}
    lost = list(_losses(outgoing, Stream.TELEMETRY, wanted, counts))
    return Removal(Stream.TELEMETRY, headers, lost, losses.THINNED, tuple(_thinned(connection, opened.values())))


# What every cloud has is history here and nothing more: all of it goes before anything is lost, the bulk of it first.
_CONFIRMED: tuple[Step, ...] = tuple(_confirmed(stream) for stream in (Stream.TELEMETRY, Stream.THINNED, Stream.RECORD, Stream.ENERGY, Stream.EVENT))
_UNSENT: tuple[Step, ...] = (_thin_telemetry, *(_unsent(stream) for stream in (Stream.THINNED, Stream.RECORD, Stream.ENERGY, Stream.EVENT)))


def _oldest(connection: sqlite3.Connection, stream: int, up_to: int, count: int = BLOCKS_A_STEP) -> list[Header]:
    if stream == Stream.EVENT:
        return _oldest_events(connection, up_to)
    question = "SELECT block_id, epoch, first, last, vals, from_ms FROM block WHERE stream = ? AND block_id <= ? ORDER BY block_id LIMIT ?"
    return [Header(*row) for row in connection.execute(question, (stream, up_to, count))]


def _oldest_events(connection: sqlite3.Connection, up_to: int, kept_kind: str = "") -> list[Header]:
    question = "SELECT number, epoch, seq, seq, 1, at_ms FROM event WHERE number <= ? AND kind != ? ORDER BY number LIMIT ?"
    return [Header(*row) for row in connection.execute(question, (up_to, kept_kind, BLOCKS_A_STEP))]


def _open(connection: sqlite3.Connection, header: Header) -> tuple[bytes, list[Row]]:
    """(schema, rows) of a block; no rows when it cannot be read: its range is told all the same."""
    schema, body = connection.execute("SELECT schema, body FROM block WHERE block_id = ?", (header.number,)).fetchone()
    try:
        return schema, decode_block(body, header.first)[1]
    except BlockError:
        return schema, []


def _whole_quarters(headers: Sequence[Header]) -> list[Header]:
    """Not more than one step can thin, and if possible up to the end of a quarter, which would be thinned in two rows otherwise."""
    values, count = 0, 0
    for header in headers[:BLOCKS_A_STEP]:
        values += header.values
        if count and values > VALUES_THINNED_A_STEP:
            break
        count += 1
    ends = [index for index in range(1, min(count + 1, len(headers))) if headers[index].from_ms // QUARTER_MS != headers[index - 1].from_ms // QUARTER_MS]
    return list(headers[: ends[-1] if ends else count])


def _thinned(connection: sqlite3.Connection, blocks: Iterable[tuple[bytes, list[Row]]]) -> Iterator[Thinned]:
    by_schema: dict[bytes, list[Row]] = {}
    for schema, rows in blocks:
        by_schema.setdefault(schema, []).extend(rows)
    for schema, rows in by_schema.items():
        found = connection.execute("SELECT document FROM schema WHERE hash = ?", (schema,)).fetchone()
        sources = sources_of(found[0]) if found else {}
        layouts = thinned_sources(sources)
        document = encode_schema(layouts.values())
        fitting = [row for row in rows if row.source_id in sources and len(row.values) == len(sources[row.source_id].points)]
        for _, trusted in groupby(sorted(fitting, key=attrgetter("clock")), key=attrgetter("clock")):
            yield Thinned(schema_hash(document), document, thin(trusted, sources, layouts))


def _losses(outgoing: Outgoing, stream: int, headers: Sequence[Header], counts: Mapping[int, Counter[int]]) -> Iterator[Lost]:
    """One record for each unbroken range."""
    start = 0
    for index, header in enumerate(headers):
        following = headers[index + 1] if index + 1 < len(headers) else None
        if following is None or (following.epoch, following.first) != (header.epoch, header.last + 1):
            run = headers[start : index + 1]
            start = index + 1
            readings = sum((counts.get(one.number, Counter()) for one in run), Counter[int]())
            told = {str(source_id): count for source_id, count in sorted(readings.items())}
            yield Lost(outgoing.epoch_id(header.epoch), stream, run[0].first, header.last, told)
