"""What is numbered and not yet out of danger: the memory's side of the file.

Everything that a power cut could still take from the file is held here, so that after a failed sync it is written again under the
same sequences. Rows of the tail stay until they are in a block; events until their commit is synced; the states always.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import msgspec

from edgegw.block import encode_schema
from edgegw.buffer.epochs import EpochRow, Epochs, save_epochs, save_last
from edgegw.buffer.groups import NOTHING_REMOVED, BlockRow, EventRow, Group, Removed, TailRow, cut, insert_blocks, write_states
from edgegw.buffer.intake import Package
from edgegw.buffer.loading import Counters, load_counters, load_states
from edgegw.buffer.numbering import Numbering
from edgegw.buffer.rewriting import Memory
from edgegw.buffer.rows import encode_event, encode_rows, storable
from edgegw.buffer.sealing import VALUES_A_BLOCK, seal
from edgegw.intervals import IntervalSet
from edgegw.model import ClockTrust, Event, Reading, Source, Stream

# Of one transaction. A window seldom has more; after a stall there may be ten times that.
_VALUES_SEALED_AT_ONCE = 2 * VALUES_A_BLOCK


class Ledger:
    """Used by the writer's thread alone, once that runs."""

    def __init__(self, epochs: Epochs, current: EpochRow, sources: Sequence[Source], states: dict[str, bytes], counters: Counters) -> None:
        self.epochs = epochs
        self.current = current
        self.document = encode_schema(sources)
        self.states = states
        self.held: dict[int, list[TailRow]] = {}
        self._counters = counters
        self._numbering = Numbering()
        self._unsynced: list[Group] = []
        self._unwritten: list[Group] = []
        self._writing: set[int] = set()
        self._seen_tail_id = 0
        self._dropped = IntervalSet()
        self.lock = threading.RLock()
        """Held while what is held changes, never while the disk is waited for: the ring looks in while the disk stalls."""
        self._synced_tail_id = counters.tail_id
        self._known_clock: tuple[int, int] | None = None
        self.synced_number = 0
        """Events up to this number are on the disk for good."""

    def take(self, packages: Iterable[Package], removal: Removed = NOTHING_REMOVED) -> Group:
        """Numbers what was accepted. From here on it is held, whatever the disk does."""
        readings: dict[int, list[Reading]] = {}
        events: list[Event] = []
        states: dict[str, bytes | None] = {}
        for package in packages:
            for reading in package.readings:
                readings.setdefault(reading.source.stream, []).append(reading)
            events += package.events
            states.update(package.states)
        with self.lock:
            tails = [self._tail_row(int(stream), rows) for stream, rows in readings.items()]
            group = Group(tails, [self._event_row(event) for event in events], states, removal.numbers, removal.of_events, removal.blocks, removal.documents)
            self._hold(group)
        return group

    def unwritten(self) -> list[Group]:
        """What was taken and no transaction has written yet."""
        with self.lock:
            self._writing = {row.row_id for group in self._unwritten for row in group.tails}
            return list(self._unwritten)

    def written(self, groups: Sequence[Group]) -> None:
        """The transaction that wrote these succeeded."""
        gone = set(map(id, groups))
        with self.lock:
            self._unwritten = [group for group in self._unwritten if id(group) not in gone]
            self._writing = set()

    def thinned_rows(self, schema: bytes, readings: Sequence[Reading]) -> list[BlockRow]:
        """Numbers thinned readings in stream 5 of this start and seals them."""
        first = self._give(Stream.THINNED, len(readings))
        return [BlockRow(self.next_number(), int(Stream.THINNED), schema, sealed) for sealed in seal(schema, first, readings)]

    def write(self, connection: sqlite3.Connection, group: Group) -> None:
        """Rows that are there already (after a failed sync) stay what they are: same key, same content, or a corrected clock."""
        epoch = self.current.number
        gone = "DELETE FROM event WHERE number = ?" if group.removed_events else "DELETE FROM block WHERE block_id = ?"
        connection.executemany(gone, [(number,) for number in group.removed])
        connection.executemany("INSERT OR IGNORE INTO schema(hash, document) VALUES (?, ?)", group.documents)
        insert_blocks(connection, epoch, group.blocks)
        tails = [(row.row_id, epoch, row.stream, row.first, row.last, row.body) for row in group.tails]
        connection.executemany("INSERT OR REPLACE INTO tail(id, epoch, stream, first, last, body) VALUES (?, ?, ?, ?, ?, ?)", tails)
        if group.events:
            events = [(row.number, epoch, row.seq, row.kind, row.device, row.at_ms, row.body) for row in group.events]
            connection.executemany("INSERT OR IGNORE INTO event(number, epoch, seq, kind, device, at_ms, body) VALUES (?, ?, ?, ?, ?, ?, ?)", events)
            save_last(connection, epoch, Stream.EVENT, group.events[-1].seq)
        if group.states:
            write_states(connection, group.states)

    def memory(self) -> Memory:
        """Everything held, for a file of which we do not know what it kept, or for a new one. From here on none of it is cut, only dropped whole."""
        with self.lock:
            self._seen_tail_id = self._counters.tail_id
            return Memory(list(self._unsynced), list(chain.from_iterable(self.held.values())), dict(self.epochs.last), dict(self.states))

    def write_names(self, connection: sqlite3.Connection) -> None:
        """What rows refer to: the starts and this one's layout."""
        save_epochs(connection, self.epochs)
        connection.execute("INSERT OR IGNORE INTO schema(hash, document) VALUES (?, ?)", (self.current.schema, self.document))

    def write_ends(self, connection: sqlite3.Connection, memory: Memory) -> None:
        """What is true only when all parts are in the file."""
        for (epoch, stream), last in memory.lasts.items():
            save_last(connection, epoch, stream, last)
        connection.execute("DELETE FROM state")
        write_states(connection, memory.states)

    def attach(self, epochs: Epochs, there: Counters, states: Mapping[str, bytes]) -> None:
        """A file that could not be opened at the start: this start comes after those that it knows, and no number is given twice."""
        with self.lock:
            lasts = {stream: last for (_, stream), last in self.epochs.last.items()}
            self.current = msgspec.structs.replace(self.current, number=max(epochs.rows, default=0) + 1)
            self.epochs.replace(epochs, self.current, lasts)
            groups = list({id(group): group for group in (*self._unsynced, *self._unwritten)}.values())
            moved = {row.row_id: row._replace(row_id=row.row_id + there.tail_id) for row in chain.from_iterable(self.held.values())}
            for stream, rows in self.held.items():
                self.held[stream] = [moved[row.row_id] for row in rows]
            for group in groups:
                group.tails[:] = [moved[row.row_id] for row in group.tails]
                group.events[:] = [row._replace(number=row.number + there.number) for row in group.events]
            counters = self._counters
            counters.tail_id, counters.number, counters.commits = counters.tail_id + there.tail_id, counters.number + there.number, there.commits
            self._synced_tail_id, self.synced_number, self._seen_tail_id = there.tail_id, there.number, there.tail_id
            self._dropped = IntervalSet()  # none of it was ever in this file
            self.states.update({key: value for key, value in states.items() if key not in self.states})

    def failed(self) -> None:
        """No transaction is under way any more."""
        with self.lock:
            self._writing = set()

    def correct_clock(self, offset_ms: int, until_ms: int) -> list[TailRow]:
        """What was read before `until_ms` under a clock not yet set gets this offset, also what is still to come. Returns the rows that changed."""
        changed: list[TailRow] = []
        with self.lock:
            self._known_clock = (offset_ms, until_ms)
            for rows in self.held.values():
                for index, row in enumerate(rows):
                    readings = self._corrected(row.readings)
                    if readings is not row.readings:
                        rows[index] = row._replace(readings=readings, body=encode_rows(readings))
                        changed.append(rows[index])
        return changed

    def _corrected(self, readings: list[Reading]) -> list[Reading]:
        if self._known_clock is None or readings[0].mono_ms > self._known_clock[1]:
            return readings
        offset_ms, until_ms = self._known_clock
        due = [reading.mono_ms <= until_ms and reading.clock in (ClockTrust.UNSET, ClockTrust.HELD) for reading in readings]
        if not any(due):
            return readings
        corrected = {"clock": ClockTrust.CORRECTED}
        return [
            msgspec.structs.replace(reading, read_at_ms=reading.mono_ms + offset_ms, **corrected) if wanted else reading
            for reading, wanted in zip(readings, due, strict=True)
        ]

    def write_tails(self, connection: sqlite3.Connection, rows: Iterable[TailRow]) -> None:
        """Inside the caller's transaction."""
        connection.executemany("UPDATE tail SET body = ? WHERE id = ?", [(row.body, row.row_id) for row in rows])

    def mark_synced(self, connection: sqlite3.Connection) -> None:
        """A synced commit must change a page, or nothing is synced."""
        self._counters.commits += 1
        connection.execute("INSERT INTO synced(id, commits) VALUES (1, ?) ON CONFLICT(id) DO UPDATE SET commits = excluded.commits", (self._counters.commits,))

    def synced(self) -> bool:
        """To be called when the disk has all that was written. Returns whether there were events among it."""
        with self.lock:
            waiting = set(map(id, self._unwritten))
            events = any(group.events for group in self._unsynced if id(group) not in waiting)
            self._unsynced = list(self._unwritten)
            self.all_is_synced()
        return events

    def all_is_synced(self) -> None:
        """Whatever was written is on the disk for good."""
        self.synced_number = min((row.number for group in self._unwritten for row in group.events), default=self._counters.number + 1) - 1
        self._synced_tail_id = min((row.row_id for group in self._unwritten for row in group.tails), default=self._counters.tail_id + 1) - 1

    def synced_rows(self, stream: int) -> list[TailRow]:
        """The oldest that may be sealed, a block's worth or the first row. Until the next commit none of it is given up: it is about to be in a block."""
        rows: list[TailRow] = []
        with self.lock:
            values = 0
            for row in self.held.get(stream, []):
                values += row.values
                if row.row_id > self._synced_tail_id or (rows and values > _VALUES_SEALED_AT_ONCE):
                    break
                rows.append(row)
            self._writing.update(row.row_id for row in rows)
            return rows

    def sealed(self, stream: int, rows: Sequence[TailRow]) -> None:
        """These are in a block now."""
        with self.lock:
            gone = {row.row_id for row in rows}
            left = [row for row in self.held[stream] if row.row_id not in gone]
            if left:
                self.held[stream] = left
            else:
                del self.held[stream]

    def next_number(self) -> int:
        """Blocks and events share one count, so that one order of sending holds for all streams."""
        with self.lock:
            self._counters.number += 1
            return self._counters.number

    def held_counts(self) -> tuple[int, int]:
        """Readings and values that are in no block yet."""
        with self.lock:
            rows = list(chain.from_iterable(self.held.values()))
        return sum(len(row.readings) for row in rows), sum(row.values for row in rows)

    def held_streams(self) -> list[int]:
        with self.lock:
            return sorted(self.held)

    def held_bytes(self) -> int:
        """What all that is held takes."""
        with self.lock:
            tails = sum(len(row.body) for row in chain.from_iterable(self.held.values()))
            return tails + sum(len(row.body) for group in self._unsynced for row in group.events)

    def unsynced_events(self, behind: int) -> list[EventRow]:
        """Events behind this number that are not on the disk for good."""
        with self.lock:
            return [row for group in self._unsynced for row in group.events if row.number > behind]

    def drop_oldest(self, stream: int, values: int) -> list[TailRow]:
        """Gives up readings of at least so many values that no transaction is about to write. Under the lock."""
        gone: list[TailRow] = []
        kept_rows: list[TailRow] = []
        # Only what no transaction has seen may be cut: the file holds the others whole.
        fresh = {row.row_id for group in self._unwritten for row in group.tails if row.row_id > self._seen_tail_id}
        for row in self.held[stream]:
            if values <= 0 or row.row_id in self._writing:
                kept_rows.append(row)
                continue
            part, left = cut(row, values) if row.row_id in fresh else (row, None)
            gone.append(part)
            values -= part.values
            if left is None:
                self._dropped.add(part.row_id, part.row_id)
            else:
                kept_rows.append(left)
        self.held[stream] = rows = kept_rows
        kept = {row.row_id: row for row in rows}
        for groups in (self._unsynced, self._unwritten):
            for group in groups:
                group.tails[:] = [kept.get(row.row_id, row) for row in group.tails if row.stream != stream or row.row_id in kept]
        self._fold()
        return gone

    def is_dropped(self, row_id: int) -> bool:
        """Given up and perhaps still in the file: it is not to be sealed."""
        return row_id in self._dropped

    def write_drops(self, connection: sqlite3.Connection) -> list[tuple[int, int]]:
        """Takes what was given up out of the file, in the transaction that tells the loss. Returns what `forget_drops` is to be told."""
        with self.lock:
            ranges = list(self._dropped)
        connection.executemany("DELETE FROM tail WHERE id BETWEEN ? AND ?", ranges)
        return ranges

    def forget_drops(self, ranges: Sequence[tuple[int, int]]) -> None:
        with self.lock:
            for first, last in ranges:
                self._dropped.remove(first, last)

    def drop_oldest_events(self, kept: int) -> list[EventRow]:
        """Gives up the oldest events beyond so many, save those whose loss or removal they tell. Under the lock."""
        plain = [group for group in self._unwritten if group.events and not group.removed]
        excess = sum(len(group.events) for group in plain) - kept
        gone: list[EventRow] = []
        for group in plain:
            part = group.events[: max(0, excess)]
            del group.events[: len(part)]
            gone += part
            excess -= len(part)
        return gone

    def _fold(self) -> None:
        """Groups of which nothing is left but states become one: a disk that fails for days must not fill the memory with them."""
        idle = [group for group in self._unwritten if not (group.tails or group.events or group.removed)]
        if len(idle) > 1:
            folded = Group([], [], {key: value for group in idle for key, value in group.states.items()})
            numbers = set(map(id, idle))
            self._unwritten = [folded, *(group for group in self._unwritten if id(group) not in numbers)]
            self._unsynced = [folded, *(group for group in self._unsynced if id(group) not in numbers)]

    @property
    def has_unwritten(self) -> bool:
        """Whether something left the queue on another way than a commit: the ring took it while the disk stalled."""
        return bool(self._unwritten)

    def _hold(self, group: Group) -> None:
        if group:
            self._unsynced.append(group)
            self._unwritten.append(group)
        for row in group.tails:
            self.held.setdefault(row.stream, []).append(row)
        for key, value in group.states.items():
            if value is None:
                self.states.pop(key, None)
            else:
                self.states[key] = value

    def _tail_row(self, stream: int, readings: list[Reading]) -> TailRow:
        ordered = self._corrected(self._numbering.order(stream, readings))
        try:
            body = encode_rows(ordered)
        except (OverflowError, TypeError, ValueError):
            ordered = [storable(reading) for reading in ordered]
            body = encode_rows(ordered)
        self._counters.tail_id += 1
        first = self._give(stream, len(ordered))
        return TailRow(self._counters.tail_id, stream, first, first + len(ordered) - 1, body, ordered, sum(len(reading.values) for reading in ordered))

    def _event_row(self, event: Event) -> EventRow:
        return EventRow(self.next_number(), self._give(Stream.EVENT, 1), event.kind, event.device, event.at_ms, encode_event(event))

    def _give(self, stream: int, count: int) -> int:
        first = self._numbering.give(stream, count)
        self.epochs.last[self.current.number, int(stream)] = first + count - 1
        return first


def load_ledger(connection: sqlite3.Connection, epochs: Epochs, current: EpochRow, sources: Sequence[Source]) -> Ledger:
    return Ledger(epochs, current, sources, load_states(connection), load_counters(connection))
