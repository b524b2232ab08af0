"""What was salvaged from a damaged file, stored for delivery under the identities it had (identity rule 8). Runs on the writer's thread.

What the file has already, in whatever blocks, is not stored again: salvaging twice changes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from edgegw.block import decode_block
from edgegw.buffer.epochs import EpochRow, Epochs, save_last
from edgegw.buffer.ledger import Ledger
from edgegw.buffer.outgoing import Outgoing
from edgegw.buffer.salvage import Origin, Portion, SalvagedBlock
from edgegw.buffer.sealing import Sealed, seal, sources_of
from edgegw.buffer.uplinks import Header
from edgegw.intervals import IntervalSet
from edgegw.model import Reading, Stream


class Adopted(NamedTuple):
    """What was new."""

    headers: list[tuple[int, Header]]
    """(stream, header) of each block and event."""
    readings: int


class Adoption(msgspec.Struct, frozen=True):
    """One portion, with what its rows refer to."""

    portion: Portion
    origins: Mapping[int, Origin]
    """By the random id of the start."""
    documents: Mapping[bytes, bytes]

    @property
    def size_bytes(self) -> int:
        return sum(len(block.sealed.body) for block in self.portion.blocks) + sum(len(event.body) for event in self.portion.events)

    def write(self, connection: sqlite3.Connection, ledger: Ledger, outgoing: Outgoing) -> Adopted:
        """Inside the caller's transaction."""
        headers: list[tuple[int, Header]] = []
        readings = 0
        for salvaged in self.portion.events:
            epoch = self._epoch(connection, ledger.epochs, salvaged.epoch)
            event = salvaged.event
            number = ledger.next_number()
            row = (number, epoch, salvaged.seq, event.kind, event.device, event.at_ms, salvaged.body)
            question = "INSERT OR IGNORE INTO event(number, epoch, seq, kind, device, at_ms, body) VALUES (?, ?, ?, ?, ?, ?, ?)"
            header = Header(number, epoch, salvaged.seq, salvaged.seq, 1, event.at_ms)
            if not _is_confirmed(outgoing, Stream.EVENT, header) and connection.execute(question, row).rowcount:
                _note_last(connection, ledger.epochs, epoch, Stream.EVENT, salvaged.seq)
                headers.append((int(Stream.EVENT), header))
        for block in self.portion.blocks:
            epoch = self._epoch(connection, ledger.epochs, block.epoch)
            for sealed in self._missing(connection, epoch, block):
                number = ledger.next_number()
                header = Header(number, epoch, sealed.first, sealed.last, sealed.values, sealed.from_ms)
                if _is_confirmed(outgoing, block.stream, header):
                    continue
                _insert(connection, header, block, sealed)
                _note_last(connection, ledger.epochs, epoch, block.stream, sealed.last)
                headers.append((block.stream, header))
                readings += sealed.last - sealed.first + 1
        return Adopted(headers, readings)

    def _epoch(self, connection: sqlite3.Connection, epochs: Epochs, epoch: int) -> int:
        """The start's number in our file. One that is new here is older than all that are: it gets a number below theirs."""
        origin = self.origins[epoch]
        if epoch not in epochs.numbers:
            epochs.add(EpochRow(min(epochs.rows) - 1, epoch, origin.schema, origin.started_at_ms, origin.boot_id, None))
        row = epochs.rows[epochs.numbers[epoch]]
        values = (row.number, row.epoch.to_bytes(8, "big"), row.schema, row.started_at_ms, row.boot_id)
        connection.execute("INSERT OR IGNORE INTO epoch(number, id, schema, started_at_ms, boot_id) VALUES (?, ?, ?, ?, ?)", values)
        return row.number

    def _missing(self, connection: sqlite3.Connection, epoch: int, block: SalvagedBlock) -> Sequence[Sealed]:
        """The block as it was, or sealed anew without the readings that our file has."""
        connection.execute("INSERT OR IGNORE INTO schema(hash, document) VALUES (?, ?)", (block.schema, self.documents[block.schema]))
        first, last = block.sealed.first, block.sealed.last
        there = IntervalSet(_overlapping(connection, epoch, block.stream, first, last))
        gaps = there.missing(first, last)
        if gaps == [(first, last)]:
            return (block.sealed,)
        found = []
        sources = sources_of(self.documents[block.schema])
        rows = {row.seq: row for row in decode_block(block.sealed.body, first)[1]} if gaps else {}
        for start, end in gaps:
            run = [rows[seq] for seq in range(start, end + 1)]
            readings = [Reading(sources[row.source_id], row.read_at_ms, row.mono_ms, row.clock, row.values, row.quality) for row in run]
            found += seal(block.schema, start, readings)
        return found


def _is_confirmed(outgoing: Outgoing, stream: int, header: Header) -> bool:
    """By every cloud there is; without one it is history."""
    return bool(outgoing.uplinks) and outgoing.is_confirmed(stream, header)


def _overlapping(connection: sqlite3.Connection, epoch: int, stream: int, first: int, last: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for table in ("block", "tail"):
        question = f"SELECT first, last FROM {table} WHERE epoch = ? AND stream = ? AND first <= ? AND last >= ?"  # noqa: S608 - names of our own
        found += connection.execute(question, (epoch, stream, last, first)).fetchall()
    return found


def _insert(connection: sqlite3.Connection, header: Header, block: SalvagedBlock, sealed: Sealed) -> None:
    question = "INSERT INTO block(block_id, epoch, stream, first, last, schema, from_ms, to_ms, vals, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    row = (header.number, header.epoch, block.stream, sealed.first, sealed.last, block.schema, sealed.from_ms, sealed.to_ms, sealed.values, sealed.body)
    connection.execute(question, row)


def _note_last(connection: sqlite3.Connection, epochs: Epochs, epoch: int, stream: int, last: int) -> None:
    epochs.last[epoch, int(stream)] = max(last, epochs.last.get((epoch, int(stream)), 0))
    save_last(connection, epoch, stream, last)
