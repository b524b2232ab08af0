"""Readings of before the clock was set: their time is known later, and never a reading out of order for it."""

from __future__ import annotations

import asyncio
import time

import pytest

from edgegw.block import decode_block, decode_events
from edgegw.buffer.correction import Correction
from edgegw.model import ClockTrust, Event, Stream
from tests.unit.buffer_rig import ENERGY, METER, OTHER, events_of, look, reading, rows_of, running, wait_for

WALL_MS = 1_800_000_000_000
UNSET = {"offset_ms": 0, "clock": ClockTrust.UNSET}
PATIENT = {"window_idle_s": 60.0}


def set_clock(rig, offset_ms=WALL_MS):
    """The first synchronisation, as the daemon tells it; returns when everything has its time."""
    clock = rig.buffer._writer.parts.clock
    clock.offset_ms, clock.trust = offset_ms, ClockTrust.SYNCHRONISED
    rig.buffer.correct_clock()
    wait_for("the end of the correction", lambda: not rig.buffer._writer.transactions.is_correcting and rig.buffer._intake.is_empty)
    rig.ask("newest_block_id", [1])


def clocks_of(batches):
    return [
        (row.seq, row.read_at_ms, row.clock)
        for batch in batches
        if batch.identity.stream == Stream.TELEMETRY
        for row in decode_block(batch.body, batch.identity.first)[1]
    ]


def corrections(rig):
    return [one.body for _, one in events_of(rig.batches(streams=[1])) if one.kind == "clock"]


def test_what_nobody_has_gets_its_time_and_keeps_the_first(tmp_path):
    """
    Blocks and tail rows of before the synchronisation are handed out with the time known since, marked corrected; the file keeps what was added.
    """
    with running(tmp_path, **PATIENT) as rig:
        rig.buffer.accept([reading(METER, number, **UNSET) for number in range(1, 4)])
        rig.settle()
        rig.buffer.accept([reading(METER, number, **UNSET) for number in range(4, 6)])
        wait_for("tail", lambda: rig.buffer.status().tail_readings == 2)
        set_clock(rig)
        rig.buffer.accept([reading(METER, 6, **UNSET), reading(METER, 70_000_000)])
        rig.settle()
        found = clocks_of(rig.batches())
        assert [(number, WALL_MS + number, ClockTrust.CORRECTED) for number in range(1, 7)] == found[:6]
        assert (7, WALL_MS + 70_000_000, ClockTrust.SYNCHRONISED) == found[6]
        assert [(WALL_MS, WALL_MS + 1)] == look(rig.path, "SELECT moved_ms, from_ms FROM block WHERE first = 1")
        assert [] == corrections(rig)


def test_what_was_sent_gets_an_event(tmp_path):
    """
    Rows that an uplink was given, and events, keep their label: one event a range tells what is to be added, and it is told once.
    """
    with running(tmp_path) as rig:
        rig.buffer.accept([reading(METER, number, **UNSET) for number in range(1, 4)], [Event("alarm", 5, 5, ClockTrust.UNSET)])
        rig.settle()
        rig.confirm(rig.batches())
        rig.buffer.accept([reading(OTHER, 10, **UNSET)])
        rig.settle()
        epoch = f"{rig.buffer.epoch:016x}"
        set_clock(rig)
        expected = [{"epoch": epoch, "stream": stream, "from": 1, "to": last, "offset_ms": WALL_MS} for stream, last in ((3, 3), (1, 1))]
        assert expected == wait_for("events", lambda: corrections(rig))
        assert [(4, WALL_MS + 10, ClockTrust.CORRECTED)] == clocks_of(rig.batches())
        set_clock(rig)
        rig.settle()
        assert expected == corrections(rig)


def test_a_start_of_the_same_boot_is_corrected_too(tmp_path):
    """
    Two starts without the time, then one with it: all rows lie on one line of time; a start of another boot stays as it was.
    """
    boots = []
    for number in range(3):
        with running(tmp_path) as rig:
            rig.buffer.accept([reading(METER, 1, **UNSET)])
            rig.settle()
            boots.append((rig.buffer.epoch, rig.buffer._writer.parts.clock.boot_ms))
            if number == 0:
                rig.buffer._intake.ask(lambda connection: connection.execute("UPDATE epoch SET boot_id = 'earlier'"), lambda: None).result(10)
            if number == 2:
                set_clock(rig)
                rows = rows_of(rig.batches())
    assert [1, WALL_MS + 1 + boots[1][1] - boots[2][1], WALL_MS + 1] == [rows[epoch, 3, 1][2] for epoch, _ in boots]


def test_a_fault_in_the_middle_leaves_nothing_half_corrected(tmp_path, monkeypatch):
    """
    A disk that fails while rows get their time costs nothing: after it everything has its time.
    """
    monkeypatch.setattr("edgegw.buffer.writer.RETRY_S", 0.05)
    with running(tmp_path, **PATIENT) as rig:
        for number in range(1, 40):
            rig.buffer.accept([reading(METER, number, **UNSET)])
            rig.settle()
        rig.buffer.accept([reading(METER, 40, **UNSET)])
        wait_for("tail", lambda: rig.buffer.status().tail_readings == 1)
        broken = []

        def fail_once(self, connection):
            broken.append(1)
            if len(broken) == 3:
                raise OSError("a test broke it")
            return step(self, connection)

        step = Correction.step
        monkeypatch.setattr(Correction, "step", fail_once)
        set_clock(rig)
        wait_for("recovery", lambda: rig.buffer.status().writing)
        rig.settle()
        assert [(number, WALL_MS + number, ClockTrust.CORRECTED) for number in range(1, 41)] == clocks_of(rig.batches())
        assert len(broken) > 4


WALK = [0, 1_800_000_000_000, 1_800_000_000_000 - 3_600_000, 1_800_000_000_000 + 50 * 365 * 86_400_000]
PERIOD_MS = 20


@pytest.mark.parametrize("known_at", [1, 3])
def test_a_clock_that_walks_moves_no_reading(tmp_path, monkeypatch, known_at):
    """
    1970, now, an hour back, fifty years on, while readings are taken on the monotonic grid: every sequence in order, no period lost, every time what it was.
    """
    real_ns = time.time_ns
    start_ns = real_ns()
    shift_ms = [WALK[0]]
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() - start_ns + shift_ms[0] * 1_000_000)
    with running(tmp_path, [METER, ENERGY]) as rig:
        clock = rig.buffer._writer.parts.clock
        expected = {}

        async def poll():
            due_ms = last_ms = clock.mono_ms()
            for number in range(4 * 25):
                leg, rest = divmod(number, 25)
                if rest == 0 and leg:
                    shift_ms[0] = WALK[leg]
                    step_ms = clock.look()
                    assert abs(step_ms - (WALK[leg] - WALK[leg - 1])) < 1000
                    if leg == known_at:
                        clock.trust = ClockTrust.SYNCHRONISED
                        rig.buffer.correct_clock()
                await clock.sleep_until(due_ms)
                mono_ms = max(clock.mono_ms(), last_ms + 1)
                last_ms = mono_ms
                one = reading(METER, mono_ms, offset_ms=clock.offset_ms, clock=clock.trust)
                expected[number + 1] = (mono_ms, due_ms)
                rig.buffer.accept([one])
                due_ms += PERIOD_MS

        asyncio.run(poll())
        rig.settle()
        wait_for("the end of the correction", lambda: not rig.buffer._writer.transactions.is_correcting)
        rows = [row for batch in rig.batches(streams=[3]) for row in decode_block(batch.body, batch.identity.first)[1]]
        rows.sort(key=lambda row: row.seq)
        assert list(range(1, 101)) == [row.seq for row in rows]
        assert [mono_ms for mono_ms, _ in expected.values()] == [row.mono_ms for row in rows]
        late_ms = sorted(mono_ms - due_ms for mono_ms, due_ms in expected.values())
        assert 0 <= late_ms[0]
        assert late_ms[len(late_ms) * 9 // 10] < PERIOD_MS
        before = rows[: 25 * known_at]
        offsets = {row.read_at_ms - row.mono_ms for row in before}
        assert {ClockTrust.CORRECTED} == {row.clock for row in before}
        assert 1 == len(offsets)
        assert abs(offsets.pop() - WALK[known_at] - (clock._start_ns - time.monotonic_ns()) // 1_000_000) < 60_000
        years = 1970 + rows[-1].read_at_ms / 31_556_952_000
        assert 2076 < years < 2079
        schema = rig.batches(streams=[3])[0].schema
        assert rig.ask("schema_document", schema)


def test_events_of_before_tell_their_clock(tmp_path):
    """
    An event is never rewritten: its own label stays what it was, with its trust.
    """
    with running(tmp_path) as rig:
        rig.buffer.accept([], [Event("alarm", 5, 5, ClockTrust.UNSET)])
        rig.settle()
        set_clock(rig)
        wait_for("the correction", lambda: corrections(rig))
        (first, *_) = rig.batches(streams=[1])
        assert (5, ClockTrust.UNSET) == (decode_events(first.body)[0].at_ms, decode_events(first.body)[0].clock)
        assert 1 == first.identity.first
