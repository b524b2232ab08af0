"""Keeps the file within its limit: what may go, in which order, and the record of what was lost by it.

The steps are tried from the first to the last. A step that removes what nobody has confirmed gives `Lost` records, which go to the
cloud as loss events in the same transaction. Events and energy that are not confirmed never go.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator

import msgspec

from edgegw.block import BlockError, decode_block
from edgegw.buffer.blocks import Lost
from edgegw.buffer.limits import PAGE_BYTES, Limits
from edgegw.buffer.outgoing import Outgoing
from edgegw.buffer.uplinks import Header
from edgegw.model import Stream

# Blocks of one transaction: a few milliseconds, so that a commit never waits long.
BLOCKS_A_STEP = 64


class Removal(msgspec.Struct, frozen=True):
    """What one step takes out of the file."""

    stream: int
    headers: list[Header]
    lost: list[Lost]


Step = Callable[[sqlite3.Connection, Outgoing], Removal | None]


def is_short(connection: sqlite3.Connection, limits: Limits, coming_bytes: int) -> bool:
    """Whether room must be made before so much is written."""
    used = connection.execute("PRAGMA page_count").fetchone()[0] - connection.execute("PRAGMA freelist_count").fetchone()[0]
    return int(used) + coming_bytes // PAGE_BYTES > limits.pages_max - limits.pages_kept_free


def next_removal(connection: sqlite3.Connection, outgoing: Outgoing, *, without_loss: bool = False) -> Removal | None:
    """The oldest of the least worth; None when nothing may go."""
    for step in _CONFIRMED if without_loss else (*_CONFIRMED, _unconfirmed_telemetry):
        removal = step(connection, outgoing)
        if removal is not None:
            return removal
    return None


def remove(connection: sqlite3.Connection, removal: Removal) -> None:
    """Inside the caller's transaction."""
    table, column = ("event", "number") if removal.stream == Stream.EVENT else ("block", "block_id")
    connection.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(header.number,) for header in removal.headers])  # noqa: S608 - names of our own


def _confirmed(stream: int) -> Step:
    def step(connection: sqlite3.Connection, outgoing: Outgoing) -> Removal | None:
        headers = _oldest(connection, stream, outgoing.confirmed_by_all(stream))
        return Removal(stream, headers, []) if headers else None

    return step


def _unconfirmed_telemetry(connection: sqlite3.Connection, outgoing: Outgoing) -> Removal | None:
    headers = _oldest(connection, Stream.TELEMETRY, 2**63 - 1)
    wanted = [header for header in headers if not outgoing.is_confirmed(Stream.TELEMETRY, header)]
    return Removal(Stream.TELEMETRY, headers, list(_losses(connection, outgoing, wanted))) if headers else None


# What every cloud has is history here and nothing more: all of it goes before anything is lost, the bulk of it first.
_CONFIRMED: tuple[Step, ...] = (
    _confirmed(Stream.TELEMETRY),
    _confirmed(Stream.THINNED),
    _confirmed(Stream.RECORD),
    _confirmed(Stream.ENERGY),
    _confirmed(Stream.EVENT),
)


def _oldest(connection: sqlite3.Connection, stream: int, up_to: int) -> list[Header]:
    if stream == Stream.EVENT:
        question, keys = "SELECT number, epoch, seq, seq, 1, at_ms FROM event WHERE number <= ? ORDER BY number LIMIT ?", (up_to, BLOCKS_A_STEP)
    else:
        question = "SELECT block_id, epoch, first, last, vals, from_ms FROM block WHERE stream = ? AND block_id <= ? ORDER BY block_id LIMIT ?"
        keys = (stream, up_to, BLOCKS_A_STEP)  # type: ignore[assignment]
    return [Header(*row) for row in connection.execute(question, keys)]


def _losses(connection: sqlite3.Connection, outgoing: Outgoing, headers: list[Header]) -> Iterator[Lost]:
    """One record for each unbroken range."""
    start = 0
    for index, header in enumerate(headers):
        following = headers[index + 1] if index + 1 < len(headers) else None
        if following is None or (following.epoch, following.first) != (header.epoch, header.last + 1):
            run = headers[start : index + 1]
            start = index + 1
            yield Lost(outgoing.epoch_id(header.epoch), Stream.TELEMETRY, run[0].first, header.last, _count_readings(connection, run))


def _count_readings(connection: sqlite3.Connection, headers: list[Header]) -> dict[str, int]:
    counts: Counter[int] = Counter()
    for header in headers:
        (body,) = connection.execute("SELECT body FROM block WHERE block_id = ?", (header.number,)).fetchone()
        try:
            counts.update(row.source_id for row in decode_block(body, header.first)[1])
        except BlockError:
            continue  # the range is told all the same
    return {str(source_id): count for source_id, count in sorted(counts.items())}
