"""The pure parts of the buffer: intervals, numbering, sealing, rows, windows, the queue."""

from __future__ import annotations

import random
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegw.block import decode_block
from edgegw.buffer.intake import COMMIT_AFTER_S, Intake, Package
from edgegw.buffer.numbering import Numbering
from edgegw.buffer.rows import EVENT_BODY_BYTES_MAX, RowError, decode_event, decode_rows, encode_event, encode_rows, storable
from edgegw.buffer.sealing import BODY_BYTES_MAX, VALUES_A_BLOCK, seal
from edgegw.buffer.windows import SYNC_AFTER_S, Windows
from edgegw.model import ClockTrust, Quality, Stream
from tests.unit.buffer_rig import ENERGY, METER, OTHER, event, failed, reading, source

SCHEMA = b"12345678"


@given(st.lists(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 3)), max_size=8), max_size=8))
def test_numbering_keeps_the_order_and_the_offset(groups):
    """
    Sequences rise with (time, source) over all groups; a reading only ever moves to a later millisecond, and its clock offset stays.
    """
    sources = {number: source(number) for number in (1, 2, 3)}
    numbering = Numbering()
    numbered = []
    for group in groups:
        given_readings = [reading(sources[number], mono_ms) for mono_ms, number in group]
        ordered = numbering.order(Stream.TELEMETRY, given_readings)
        assert sorted(r.values for r in given_readings) == sorted(r.values for r in ordered)
        numbered += ordered
    places = [(r.mono_ms, r.source.source_id) for r in numbered]
    assert all(before < after for before, after in pairwise(places))
    assert {1_800_000_000_000} >= {r.read_at_ms - r.mono_ms for r in numbered}
    assert all(r.mono_ms >= r.values[0] for r in numbered)


def test_a_reading_that_comes_late_gets_the_next_millisecond():
    """
    The first free place is the same millisecond for a higher source and the next one for a lower.
    """
    numbering = Numbering()
    assert [100] == [r.mono_ms for r in numbering.order(3, [reading(OTHER, 100)])]
    assert [(101, 1), (101, 2)] == [(r.mono_ms, r.source.source_id) for r in numbering.order(3, [reading(METER, 90), reading(OTHER, 95)])]
    assert [102] == [r.mono_ms for r in numbering.order(3, [reading(OTHER, 101)])]


def test_numbering_moves_nothing_for_another_that_is_read_twice():
    """
    Twenty sources that were each read twice in one millisecond take two of them: the second readings move by one, and stay behind the first.
    """
    sources = [source(number) for number in range(1, 21)]
    twice = [reading(one, 100, (answer,)) for answer in (1, 2) for one in reversed(sources)]
    ordered = Numbering().order(3, twice)
    expected = [(100 + answer - 1, one.source_id, (answer,)) for answer in (1, 2) for one in sources]
    assert expected == [(one.mono_ms, one.source.source_id, one.values) for one in ordered]


def test_sequences_start_at_one_in_each_stream():
    """
    Each stream has its own count.
    """
    numbering = Numbering()
    assert [1, 4, 1] == [numbering.give(3, 3), numbering.give(3, 1), numbering.give(2, 1)]
    assert [4, 1, 0] == [numbering.last(3), numbering.last(2), numbering.last(1)]


def test_a_block_ends_where_the_clock_changes():
    """
    A step of the clock and a change of its trust each begin a new block; sequences go on.
    """
    rows = [
        reading(METER, 10),
        reading(METER, 20),
        reading(METER, 30, offset_ms=1_900_000_000_000),
        reading(METER, 40, offset_ms=1_900_000_000_000, clock=ClockTrust.CORRECTED),
    ]
    blocks = seal(SCHEMA, 7, rows)
    assert [(7, 8), (9, 9), (10, 10)] == [(block.first, block.last) for block in blocks]
    assert [r.read_at_ms for r in rows] == [row.read_at_ms for block in blocks for row in decode_block(block.body, block.first)[1]]


@pytest.mark.parametrize("spread", [3, 2**40])
def test_a_block_is_small_enough_to_be_sent(spread):
    """
    However badly the values compress, no block exceeds its bytes or its values, and together they are all of the readings.
    """
    dice = random.Random(1)
    wide = source(1, width=100)
    rows = [reading(wide, 1000 * i, [dice.randrange(spread) for _ in range(100)]) for i in range(250)]
    blocks = seal(SCHEMA, 1, rows)
    assert max(len(block.body) for block in blocks) <= BODY_BYTES_MAX
    assert max(block.values for block in blocks) <= VALUES_A_BLOCK
    assert [r.values for r in rows] == [row.values for block in blocks for row in decode_block(block.body, block.first)[1]]
    assert 25_000 == sum(block.values for block in blocks)


values = st.one_of(st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), st.text(max_size=5), st.binary(max_size=5), st.booleans())


@given(st.lists(st.tuples(values, values, values, values), max_size=6))
def test_tail_rows_give_back_what_went_in(contents):
    """
    A tail row holds readings of every type of value exactly, failed polls included.
    """
    rows = [reading(METER, 10 * i, content) for i, content in enumerate(contents)] + [failed(METER, 999)]
    back = decode_rows(encode_rows(rows), {1: METER})
    assert rows == back
    assert [[type(v) for v in r.values] for r in rows] == [[type(v) for v in r.values] for r in back]


def test_a_value_that_no_row_can_hold_becomes_bad():
    """
    An integer beyond 64 bits and a foreign type lose their value, never the reading.
    """
    kept = storable(reading(METER, 1, (1, 2**64, object(), "x")))
    assert (1, None, None, "x") == kept.values
    assert {1: Quality.BAD, 2: Quality.BAD} == kept.quality


@pytest.mark.parametrize("body", [b"", b"\xff", b"\x91\x01", encode_rows([reading(OTHER, 1)])])
def test_a_damaged_tail_row_says_so(body):
    """
    Bytes that are no tail row, or name a source that is not known, raise RowError and nothing else.
    """
    with pytest.raises(RowError):
        decode_rows(body, {1: METER})


def test_an_event_that_is_too_long_keeps_what_fits():
    """
    A body beyond the limit is cut to whole entries and says how long it was.
    """
    long = event(a=1, b="x" * (2 * EVENT_BODY_BYTES_MAX), c="last")
    body = encode_event(long)
    assert len(body) <= EVENT_BODY_BYTES_MAX
    opened = decode_event(long.kind, long.device, long.at_ms, body)
    assert {"truncated", "a", "c"} == set(opened.body)
    assert long == msgspec.structs.replace(opened, body=long.body)


def test_a_sync_is_due_a_second_after_the_first_unsynced_reading():
    """
    The deadline is that of the first commit since the last sync, whatever comes after it.
    """
    windows = Windows(60)
    windows.committed(10.0, 4)
    windows.committed(10.5, 4)
    assert 10.0 + SYNC_AFTER_S == windows.sync_at_s()
    windows.synced()
    assert windows.sync_at_s() > 60


def test_the_delays_keep_the_promises():
    """
    Commit and sync begin early enough to be done within 50 ms and within one second.
    """
    assert COMMIT_AFTER_S <= 0.040
    assert SYNC_AFTER_S <= 0.960


def test_a_window_ends_with_a_sync_that_is_due_anyway():
    """
    From half a second before its end any sync seals; half a second after it one is made for it.
    """
    windows = Windows(10)
    windows.committed(100.0, 4)
    windows.synced()
    assert [False, True] == [windows.seal_with_sync(109.4), windows.seal_with_sync(109.6)]
    assert 110.5 == windows.seal_by_s() == windows.sync_at_s()
    windows.committed(101.0, 10_000)
    assert windows.seal_with_sync(101.1)


@pytest.mark.parametrize(("asked_s", "due_s"), [(99.0, 100.25), (100.1, 100.35)])
def test_the_first_block_is_sealed_soon(asked_s, due_s):
    """
    A quarter of a second after the request or after the first reading, whichever is later; once.
    """
    windows = Windows(60)
    windows.seal_soon(asked_s, 0.25)
    windows.committed(100.0, 4)
    assert due_s == pytest.approx(windows.seal_by_s())
    windows.sealing()
    windows.sealed(everything=True)
    windows.committed(200.0, 4)
    assert 260.5 == windows.seal_by_s()


def test_what_is_asked_for_while_a_block_is_sealed_holds_for_the_next():
    """
    A request of another thread that comes between the rows of a seal and its end is not forgotten with the one that it answered.
    """
    windows = Windows(60)
    windows.seal_soon(99.0, 0.25)
    windows.committed(100.0, 4)
    windows.sealing()
    windows.seal_soon(100.3, 0.25)
    windows.sealed(everything=True)
    windows.committed(200.0, 4)
    assert pytest.approx(200.25) == windows.seal_by_s()


def package(readings=(), events=(), states=None):
    return Package(tuple(readings), tuple(events), states or {}, 0.0)


def test_a_full_queue_drops_the_oldest_telemetry_and_counts_it():
    """
    Events, energy and states of a dropped package stay, ahead of all that wait; what is gone is counted by source.
    """
    intake = Intake(100)
    intake.put(package([reading(METER, 1), reading(ENERGY, 1)], [event(n=1)], {"a": b"1"}), urgent=True)
    for number in range(2, 130):
        intake.put(package([reading(OTHER if number % 2 else METER, number)]), urgent=False)
    taken = intake.take()
    assert [1, *range(31, 130)] == [r.mono_ms for p in taken for r in p.readings]
    assert [ENERGY, [event(n=1)], {"a": b"1"}] == [taken[0].readings[0].source, taken[0].events, taken[0].states]
    dropped = intake.take_dropped(0.0)
    assert {1: 16, 2: 14} == dropped.readings
    assert (30, 0, 1_800_000_000_001, 1_800_000_000_030) == (intake.dropped_total, intake.readings, dropped.from_ms, dropped.to_ms)
    assert intake.take_dropped(0.0) is None


def test_the_loss_is_told_once_the_queue_moves_again():
    """
    While the queue stays full nothing is told, save once a minute.
    """
    intake = Intake(100)
    for number in range(105):
        intake.put(package([reading(METER, number)]), urgent=False)
    began_s = intake._dropped.since_s
    assert intake.take_dropped(began_s + 59) is None
    assert 5 == intake.take_dropped(began_s + 61).readings.total()


def test_packages_are_taken_whole():
    """
    A group ends between two calls of accept, never within one.
    """
    intake = Intake(10_000)
    for number in range(3):
        intake.put(package([reading(METER, number)] * 1500), urgent=False)
    assert [1500, 1500] == [len(p.readings) for p in intake.take()]
    assert [1500] == [len(p.readings) for p in intake.take()]
    assert intake.is_empty
