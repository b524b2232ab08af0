"""Older small blocks to blocks of about 10,000 values: the same rows under the same identities, in a third of the bytes (identity rule 2).

A joined block takes the number of the last block that is in it, so that the order of sending stays. Blocks are joined sent or not, but
not while they are young: a receipt comes within seconds, and what an uplink has in hand is best receipted as it was sent.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import msgspec

from edgegw.block import BlockError, Row, decode_block
from edgegw.buffer.sealing import VALUES_A_BLOCK, Sealed, seal, sources_of
from edgegw.buffer.uplinks import BLOCK_STREAMS, Header
from edgegw.model import Reading, Source

_log = logging.getLogger("edgegw.buffer")

# Looked at this often when there was nothing to join; one join takes the writer 20 to 40 ms, an alarm waits no longer. So that of a hundred alarms less than
# one meets a join while there is much to join (after an outage, say), the next one waits: 2,000 values a second are twenty times what the reference station reads.
LOOK_S = 10.0
AGAIN_S = 5.0
# Blocks of one join: streams of few values (energy) come in blocks of a few values each.
BLOCKS_A_JOIN = 256
# Small blocks that stand alone (the last of each start, say) and are passed over in one look: each costs a question of a quarter of a millisecond.
ALONE_A_LOOK = 16
# A block with more values than this has nothing to gain.
_SMALL_VALUES = VALUES_A_BLOCK // 2


class Joined(NamedTuple):
    """One join, done inside the caller's transaction."""

    stream: int
    parts: list[Header]
    header: Header


class Joining:
    """How far each stream is joined. Used by the writer's thread; made anew with every connection."""

    def __init__(self) -> None:
        self._done: dict[int, int] = {}
        self._layout: tuple[bytes, dict[int, Source]] = (b"", {})
        """Of the schema that was joined last; joins go from old to new, so that no other comes back."""
        self.is_behind = False
        """The last look ended with a run that was opened in vain, or with many blocks that stand alone; there may be more behind it."""

    def next_join(self, connection: sqlite3.Connection, borders: Collection[int]) -> Plan | None:
        """The oldest run that is worth a join and old enough for it; reads only. No run reaches across a number in `borders`."""
        self.is_behind = False
        for stream in BLOCK_STREAMS:
            plan = self._next_of(connection, stream, borders)
            if plan is not None or self.is_behind:
                return plan
        return None

    def _next_of(self, connection: sqlite3.Connection, stream: int, borders: Collection[int]) -> Plan | None:
        for _ in range(ALONE_A_LOOK):
            candidates = _candidates(connection, stream, _before_small(connection, stream, self._done.get(stream, 0)))
            run = _first_run(candidates, borders)
            if not run or not _is_old(candidates[len(run) :], ended=_breaks(candidates, len(run), borders)):
                return None
            plan = self._plan(connection, stream, run) if len(run) > 1 else None
            self._done[stream] = plan.parts[-1].number if plan else run[0].header.number
            if plan or len(run) > 1:
                # One run at a time: what barely compresses costs as much to open and gives nothing.
                self.is_behind = plan is None
                return plan
        self.is_behind = True
        return None

    def _plan(self, connection: sqlite3.Connection, stream: int, run: Sequence[Candidate]) -> Plan | None:
        """The longest beginning of the run that is under one clock and fits one block; None when that is its first block alone."""
        sources = self._sources(connection, run[0].schema)
        parts, readings = _readings(connection, run, sources)
        while len(parts) > 1:
            blocks = seal(run[0].schema, parts[0].first, readings)
            if len(blocks) == 1:
                return Plan(stream, run[0].schema, parts, blocks[0])
            # Seldom: what barely compresses fills a block with fewer values.
            parts = [part for part in parts if part.last <= blocks[0].last]
            readings = readings[: parts[-1].last - parts[0].first + 1] if parts else []
        return None

    def _sources(self, connection: sqlite3.Connection, schema: bytes) -> dict[int, Source]:
        """Without their points: what was decoded is sealed again as it is, and the names of 200 devices are 1.5 MB."""
        if self._layout[0] != schema:
            found = connection.execute("SELECT document FROM schema WHERE hash = ?", (schema,)).fetchone()
            sources = sources_of(found[0]) if found else {}
            self._layout = (schema, {number: msgspec.structs.replace(source, points=()) for number, source in sources.items()})
        return self._layout[1]


class Plan(msgspec.Struct, frozen=True):
    """A join that is to be done: `block` takes the place of `parts`."""

    stream: int
    schema: bytes
    parts: list[Header]
    block: Sealed

    def write(self, connection: sqlite3.Connection) -> Joined:
        """Inside the caller's transaction."""
        last, block = self.parts[-1], self.block
        connection.executemany("DELETE FROM block WHERE block_id = ?", [(part.number,) for part in self.parts])
        question = "INSERT INTO block(block_id, epoch, stream, first, last, schema, from_ms, to_ms, vals, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        row = (last.number, last.epoch, self.stream, block.first, block.last, self.schema, block.from_ms, block.to_ms, block.values, block.body)
        connection.execute(question, row)
        return Joined(self.stream, self.parts, Header(last.number, last.epoch, block.first, block.last, block.values, block.from_ms))


class Candidate(NamedTuple):
    header: Header
    schema: bytes


def _before_small(connection: sqlite3.Connection, stream: int, after: int) -> int:
    """Behind this number the first small block comes next. A store of a month begins with tens of thousands that are joined: the index alone is read."""
    question = "SELECT block_id FROM block WHERE stream = ? AND block_id > ? AND vals <= ? ORDER BY block_id LIMIT 1"
    found = connection.execute(question, (stream, after, _SMALL_VALUES)).fetchone()
    return found[0] - 1 if found else after


def _candidates(connection: sqlite3.Connection, stream: int, after: int) -> list[Candidate]:
    question = "SELECT block_id, epoch, first, last, vals, from_ms, schema FROM block WHERE stream = ? AND block_id > ? ORDER BY block_id LIMIT ?"
    rows = connection.execute(question, (stream, after, 2 * BLOCKS_A_JOIN))
    return [Candidate(Header(*header), schema) for *header, schema in rows]


def _first_run(candidates: Sequence[Candidate], borders: Collection[int]) -> list[Candidate]:
    """Consecutive small blocks from the first on, as many as one block holds."""
    run: list[Candidate] = []
    values = 0
    for index, candidate in enumerate(candidates):
        values += candidate.header.values
        if run and (len(run) == BLOCKS_A_JOIN or values > VALUES_A_BLOCK or _breaks(candidates, index, borders)):
            break
        run.append(candidate)
        if candidate.header.values > _SMALL_VALUES:
            break
    return run


def _breaks(candidates: Sequence[Candidate], index: int, borders: Collection[int]) -> bool:
    """Whether the block at `index` cannot stand in one block with the one before it."""
    if not 0 < index < len(candidates):
        return False
    (before, schema), (header, next_schema) = candidates[index - 1], candidates[index]
    if (before.epoch, before.last + 1, schema) != (header.epoch, header.first, next_schema):
        return True
    return header.values > _SMALL_VALUES or any(before.number <= border < header.number for border in borders)


def _is_old(behind: Sequence[Candidate], *, ended: bool) -> bool:
    """As much again came after the run, or nothing can ever be added to it."""
    return ended or len(behind) >= BLOCKS_A_JOIN or sum(candidate.header.values for candidate in behind) >= VALUES_A_BLOCK


def _readings(connection: sqlite3.Connection, run: Sequence[Candidate], sources: dict[int, Source]) -> tuple[list[Header], list[Reading]]:
    """Headers and readings of the first blocks of the run, up to a change of the clock or to one that cannot be read."""
    parts: list[Header] = []
    readings: list[Reading] = []
    clock: tuple[int, int] | None = None
    for candidate, rows in _opened(connection, run):
        now = (rows[0].read_at_ms - rows[0].mono_ms, int(rows[0].clock))
        if (clock is not None and now != clock) or any(row.source_id not in sources for row in rows):
            break
        clock = now
        parts.append(candidate.header)
        readings += [Reading(sources[row.source_id], row.read_at_ms, row.mono_ms, row.clock, row.values, row.quality) for row in rows]
    return parts, readings


def _opened(connection: sqlite3.Connection, run: Sequence[Candidate]) -> Iterator[tuple[Candidate, list[Row]]]:
    for candidate in run:
        header = candidate.header
        (body,) = connection.execute("SELECT body FROM block WHERE block_id = ?", (header.number,)).fetchone()
        try:
            _, rows = decode_block(body, header.first)
        except BlockError as fault:
            _log.error("block %d cannot be read, it stays as it is: %s", header.number, fault)
            return
        if len(rows) != header.last - header.first + 1:
            return
        yield candidate, rows
