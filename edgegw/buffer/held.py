"""What of a range of sequences is still stored: for a cloud that asks for it again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from edgegw.buffer.epochs import Epochs
from edgegw.intervals import IntervalSet
from edgegw.model import Identity, Stream

# Rows of an answer; a range of more blocks than this is answered for its beginning, and the cloud asks again.
_ROWS_MAX = 100_000


def not_held(connection: sqlite3.Connection, epochs: Epochs, intervals: Iterable[Identity]) -> list[Identity]:
    """The parts that are stored no longer, of what was once numbered."""
    gone: list[Identity] = []
    for asked in intervals:
        number = epochs.numbers.get(asked.epoch)
        given = asked.last if number is None else min(asked.last, epochs.last.get((number, asked.stream), 0))
        held = IntervalSet(_held(connection, number, asked)) if number is not None else IntervalSet()
        gone += [Identity(asked.epoch, asked.stream, first, last) for first, last in held.missing(asked.first, given)]
    return gone


def _held(connection: sqlite3.Connection, epoch: int, asked: Identity) -> list[tuple[int, int]]:
    if asked.stream == Stream.EVENT:
        question = "SELECT seq, seq FROM event WHERE epoch = ? AND seq BETWEEN ? AND ? LIMIT ?"
        return connection.execute(question, (epoch, asked.first, asked.last, _ROWS_MAX)).fetchall()
    held: list[tuple[int, int]] = []
    for table in ("block", "tail"):
        question = f"SELECT first, last FROM {table} WHERE epoch = ? AND stream = ? AND last >= ? AND first <= ? LIMIT ?"  # noqa: S608 - names of our own
        held += connection.execute(question, (epoch, asked.stream, asked.first, asked.last, _ROWS_MAX)).fetchall()
    return held
