"""From tail rows to block rows: the readings of this start from memory, those an earlier start left from the file."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import msgspec

from edgegw.buffer.database import DamagedError
from edgegw.buffer.groups import BlockRow, TailRow, insert_blocks
from edgegw.buffer.ledger import Ledger
from edgegw.buffer.rows import RowError, decode_rows
from edgegw.buffer.sealing import Sealed, seal, sources_of
from edgegw.buffer.uplinks import Header
from edgegw.model import Reading, Source

_log = logging.getLogger("edgegw.buffer")

# Tail rows of one transaction when an earlier start's are sealed, and their bytes: bounds memory and log after an end without sealing.
_LEFTOVER_ROWS = 2_000
_LEFTOVER_BYTES = 256 * 1024


class Lost(msgspec.Struct, frozen=True):
    """A range that cannot be delivered any more."""

    epoch: int
    stream: int
    first: int
    last: int
    readings: dict[str, int]
    """How many of each source id, as far as it is known."""


def seal_held(connection: sqlite3.Connection, ledger: Ledger, rows_of: Mapping[int, Sequence[TailRow]]) -> list[tuple[int, Header]]:
    """Seals synced rows of each stream, inside the caller's transaction: a block is handed out at once."""
    made: list[tuple[int, Header]] = []
    for stream, rows in rows_of.items():
        blocks = seal(ledger.current.schema, rows[0].first, list(chain.from_iterable(row.readings for row in rows)))
        made += _insert(connection, ledger, (ledger.current.number, stream), ledger.current.schema, blocks)
        connection.executemany("DELETE FROM tail WHERE id = ?", [(row.row_id,) for row in rows])
    return made


def _insert(connection: sqlite3.Connection, ledger: Ledger, origin: tuple[int, int], schema: bytes, blocks: Sequence[Sealed]) -> list[tuple[int, Header]]:
    epoch, stream = origin
    rows = [BlockRow(ledger.next_number(), stream, schema, block) for block in blocks]
    insert_blocks(connection, epoch, rows)
    return [(stream, header_of(epoch, row)) for row in rows]


def header_of(epoch: int, row: BlockRow) -> Header:
    block = row.sealed
    return Header(row.number, epoch, block.first, block.last, block.values, block.from_ms)


def seal_leftovers(connection: sqlite3.Connection, ledger: Ledger) -> tuple[list[tuple[int, Header]], list[Lost]]:
    """Tail rows that memory does not hold, sealed under the epoch, sequences and schema they have; inside the caller's transaction."""
    made: list[tuple[int, Header]] = []
    lost: list[Lost] = []
    layouts: dict[bytes, dict[int, Source]] = {}
    leftovers = _leftovers(connection, ledger)
    for (epoch, stream), rows in _by_stream(leftovers):
        if epoch not in ledger.epochs.rows:
            raise DamagedError(f"tail rows of epoch {epoch}, which the file does not know")
        schema = ledger.epochs.rows[epoch].schema
        if schema not in layouts:
            layouts[schema] = sources_of(_document(connection, schema))
        for first, readings, damaged_last in _runs(rows, layouts[schema]):
            if damaged_last:
                lost.append(Lost(ledger.epochs.rows[epoch].epoch, stream, first, damaged_last, {}))
            else:
                made += _insert(connection, ledger, (epoch, stream), schema, seal(schema, first, readings))
    connection.executemany("DELETE FROM tail WHERE id = ?", [(row[0],) for row in leftovers])
    return made, lost


_Leftover = tuple[int, int, int, int, int, bytes]  # id, epoch, stream, first, last, body


def _leftovers(connection: sqlite3.Connection, ledger: Ledger) -> list[_Leftover]:
    held = {row.row_id for row in chain.from_iterable(ledger.held.copy().values())}
    rows = connection.execute("SELECT id, length(body) FROM tail ORDER BY id LIMIT ?", (_LEFTOVER_ROWS + len(held),)).fetchall()
    wanted: list[int] = []
    size = 0
    for row_id, length in rows:
        if row_id in held or ledger.is_dropped(row_id):
            continue
        size += length
        if len(wanted) == _LEFTOVER_ROWS or (wanted and size > _LEFTOVER_BYTES):
            break
        wanted.append(row_id)
    question = "SELECT id, epoch, stream, first, last, body FROM tail WHERE id = ?"
    return [connection.execute(question, (row_id,)).fetchone() for row_id in wanted]


def _by_stream(rows: Iterable[_Leftover]) -> list[tuple[tuple[int, int], list[_Leftover]]]:
    """In the order of epochs, so that older data gets the lower block_id."""
    grouped: dict[tuple[int, int], list[_Leftover]] = {}
    for row in rows:
        grouped.setdefault((row[1], row[2]), []).append(row)
    return sorted(grouped.items())


def _runs(rows: Sequence[_Leftover], sources: dict[int, Source]) -> Iterator[tuple[int, list[Reading], int]]:
    """(first sequence, readings, 0) of consecutive rows; (first, nothing, last) of a row that cannot be read."""
    start, run = 0, list[Reading]()
    for _, _, _, first, last, body in rows:
        try:
            readings = decode_rows(body, sources)
        except RowError as fault:
            _log.error("readings %d..%d of an earlier start cannot be read: %s", first, last, fault)
            readings = []
        if run and (not readings or first != start + len(run)):
            yield start, run, 0
            run = []
        if not readings:
            yield first, [], last
        elif not run:
            start, run = first, readings
        else:
            run += readings
    if run:
        yield start, run, 0


def _document(connection: sqlite3.Connection, schema: bytes) -> bytes:
    found = connection.execute("SELECT document FROM schema WHERE hash = ?", (schema,)).fetchone()
    if found is None:
        raise DamagedError(f"the file does not hold schema {schema.hex()} of its tail rows")
    return bytes(found[0])
