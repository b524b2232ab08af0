"""Readings of before the first synchronisation of the clock get the time that is known since (identity rule 10).

Within one boot the monotonic times of all starts have one origin, so one known offset gives the times of all of them, however the wall clock
was set meanwhile. Blocks that nobody was given yet are written anew under the offset, with the mark `corrected`; their row keeps what was added
(`moved_ms`). For what was sent already, and for events, the event `clock` tells what is to be added: it holds for those rows of its range
whose clock is `unset` or `held`. Starts of another boot stay as they are: nothing is known of them.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator

import msgspec

from edgegw.block import BlockError, corrected
from edgegw.buffer.epochs import EpochRow
from edgegw.buffer.groups import TailRow
from edgegw.buffer.ledger import Ledger
from edgegw.buffer.outgoing import Outgoing
from edgegw.buffer.rows import RowError, decode_event
from edgegw.buffer.uplinks import BLOCK_STREAMS, Header
from edgegw.clock import Clock
from edgegw.model import ClockTrust, Event, Stream

_log = logging.getLogger("edgegw.buffer")

KIND = "clock"
STATE_PREFIX = "buffer/clock/"
# Blocks of one transaction: 2 ms each at most.
_BLOCKS_A_STEP = 16
_NOT_SET = frozenset({ClockTrust.UNSET, ClockTrust.HELD})


class Shift(msgspec.Struct):
    """A range whose rows are off by the same time."""

    epoch: int
    stream: int
    first: int
    last: int
    offset_ms: int


class Correction:
    """One pass over what this boot has left, in steps. `rows`: tail rows that changed in memory."""

    def __init__(self, ledger: Ledger, outgoing: Outgoing, offset_ms: int, until_ms: int) -> None:
        self._ledger = ledger
        self._outgoing = outgoing
        self._offset_ms = offset_ms
        self._until_ms = until_ms
        self._rows: list[TailRow] | None = None
        self._left = [(row, stream, 0) for row in self._starts() for stream in BLOCK_STREAMS]
        self._shifts: list[Shift] = []

    def step(self, connection: sqlite3.Connection) -> bool:
        """Inside the caller's transaction. False when there is nothing more to do."""
        if self._rows is None:
            self._rows = self._ledger.correct_clock(self._offset_ms, self._until_ms)
            self._ledger.write_tails(connection, self._rows)
            return True
        if not self._left:
            return False
        row, stream, behind = self._left.pop()
        last = self._correct_some(connection, row, stream, behind)
        if last is not None:
            self._left.append((row, stream, last))
        return True

    def finish(self, connection: sqlite3.Connection, clock: Clock) -> tuple[list[Event], dict[str, bytes | None]]:
        """The events `clock`, and the states that keep a later start from telling them again."""
        told = {f"{STATE_PREFIX}{row.epoch:016x}": b"1" for row in self._starts()}
        states: dict[str, bytes | None] = {key: None for key in self._ledger.states if key.startswith(STATE_PREFIX) and not self._is_of_this_boot(key)}
        for row in self._starts():
            for shift in self._event_shifts(connection, row):
                self._note(shift)
        mono_ms = clock.mono_ms()
        events = [Event(KIND, clock.wall_ms(mono_ms), mono_ms, clock.trust, None, _body(shift)) for shift in self._shifts]
        _log.info("the clock is known now; what was read before has its time (%d ranges were sent before)", len(events))
        return events, {**states, **told}

    def _starts(self) -> list[EpochRow]:
        """Of this boot, as far as they were not corrected before."""
        current = self._ledger.current
        rows = self._ledger.epochs.rows.values()
        of_boot = [row for row in rows if row is current or (row.boot_id and row.boot_id == current.boot_id and row.boot_ms is not None)]
        return [row for row in of_boot if f"{STATE_PREFIX}{row.epoch:016x}" not in self._ledger.states]

    def _is_of_this_boot(self, key: str) -> bool:
        number = self._ledger.epochs.numbers.get(int(key.removeprefix(STATE_PREFIX), 16))
        return number is not None and self._ledger.epochs.rows[number].boot_id == self._ledger.current.boot_id

    def _offset_of(self, row: EpochRow) -> int:
        return self._offset_ms + (row.boot_ms or 0) - (self._ledger.current.boot_ms or 0)

    def _correct_some(self, connection: sqlite3.Connection, start: EpochRow, stream: int, behind: int) -> int | None:
        question = "SELECT block_id, first, last, vals, from_ms, body FROM block WHERE epoch = ? AND stream = ? AND first > ? ORDER BY first LIMIT ?"
        rows = connection.execute(question, (start.number, stream, behind, _BLOCKS_A_STEP)).fetchall()
        for number, first, last, values, from_ms, body in rows:
            try:
                found = corrected(body, self._offset_of(start))
            except BlockError as fault:
                _log.error("block %d cannot be read, its clock stays: %s", number, fault)
                continue
            if found is None:
                continue
            new_body, moved_ms = found
            if start is self._ledger.current and from_ms + moved_ms - self._offset_ms > self._until_ms:
                continue
            if self._outgoing.is_handed_out(stream, Header(number, start.number, first, last, values, from_ms)):
                self._note(Shift(start.epoch, stream, first, last, moved_ms))
            else:
                update = "UPDATE block SET body = ?, from_ms = from_ms + ?, to_ms = to_ms + ?, moved_ms = ? WHERE block_id = ?"
                connection.execute(update, (new_body, moved_ms, moved_ms, moved_ms, number))
        return rows[-1][1] if rows else None

    def _event_shifts(self, connection: sqlite3.Connection, start: EpochRow) -> Iterator[Shift]:
        for seq, kind, device, at_ms, body in connection.execute(
            "SELECT seq, kind, device, at_ms, body FROM event WHERE epoch = ? ORDER BY seq", (start.number,)
        ):
            try:
                event = decode_event(kind, device, at_ms, body)
            except RowError:
                continue
            if event.clock in _NOT_SET and (start is not self._ledger.current or event.mono_ms <= self._until_ms):
                yield Shift(start.epoch, Stream.EVENT, seq, seq, event.mono_ms + self._offset_of(start) - at_ms)

    def _note(self, shift: Shift) -> None:
        if shift.offset_ms == 0:
            return
        last = self._shifts[-1] if self._shifts else None
        if last is not None and (last.epoch, last.stream, last.last + 1, last.offset_ms) == (shift.epoch, shift.stream, shift.first, shift.offset_ms):
            last.last = shift.last
        else:
            self._shifts.append(shift)


def _body(shift: Shift) -> dict[str, object]:
    return {"epoch": f"{shift.epoch:016x}", "stream": int(shift.stream), "from": shift.first, "to": shift.last, "offset_ms": shift.offset_ms}
