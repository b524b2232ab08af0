"""What is left of telemetry when the room has run out: rows a quarter of an hour, exact and marked."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegw.block import Row, decode_block, decode_schema, encode_schema
from edgegw.buffer.retention import Ages, _thin_telemetry, _whole_quarters, next_aged
from edgegw.buffer.thinning import QUARTER_MS, thin, thinned_sources
from edgegw.buffer.uplinks import Header
from edgegw.cloud.opening import reading_rows
from edgegw.model import ClockTrust, Point, Quality, Source, Stream
from tests.unit.buffer_rig import METER, event, events_of, reading, rows_of, running, wait_for

WALL_MS = 1_800_000_000_000
MIXED = Source(7, "PILE-1", "", 1000, (Point("power", 2, "kW", ""), Point("gun1.state", 0, "1", ""), Point("power_factor", 3, "1", "")), "pile")
SOURCES = {7: MIXED}
LAYOUTS = thinned_sources(SOURCES)


def row(at_ms, values, quality=None, clock=ClockTrust.SYNCHRONISED):
    return Row(1, 7, at_ms, WALL_MS + at_ms, clock, tuple(values), quality or {})


def test_the_layout_names_what_each_column_is():
    """
    Measures get min, mean, max and last, the mean with a decimal more; states get last alone.
    """
    columns = [(point.name, point.decimals) for point in LAYOUTS[7].points]
    assert [("power.min", 2), ("power.mean", 3), ("power.max", 2), ("power.last", 2), ("gun1.state.last", 0)] == columns[:5]
    assert ["power_factor.min", "power_factor.mean", "power_factor.max", "power_factor.last"] == [name for name, _ in columns[5:]]
    assert QUARTER_MS == decode_schema(encode_schema(LAYOUTS.values()))[7].period_ms


def test_a_quarter_becomes_one_row_at_the_time_of_its_last_reading():
    """
    Readings on both sides of a quarter's border are two rows, each with the time of its last reading.
    """
    border = QUARTER_MS - WALL_MS % QUARTER_MS
    thinned = thin([row(border - 2000, (1, 3, 10)), row(border - 1000, (5, 2, 20)), row(border, (9, 1, 30))], SOURCES, LAYOUTS)
    assert [WALL_MS + border - 1000, WALL_MS + border] == [one.read_at_ms for one in thinned]
    assert [one.read_at_ms for one in thinned] == [one.mono_ms for one in thinned]
    assert (1, 30, 5, 5, 2, 10, 150, 20, 20) == thinned[0].values
    assert {} == thinned[0].quality


def test_a_value_that_is_not_there_is_not_counted():
    """
    Failed polls change no number; where all failed there is none, with the last quality; a doubtful value makes the whole point doubtful.
    """
    offline = dict.fromkeys(range(3), Quality.OFFLINE)
    (one,) = thin([row(0, (4, 1, 10)), row(1000, (None, None, None), offline), row(2000, (6, 1, None), {0: Quality.SUSPECT, 2: Quality.BAD})], SOURCES, LAYOUTS)
    assert (4, 50, 6, 6, 1, 10, 100, 10, 10) == one.values
    assert dict.fromkeys(range(4), Quality.SUSPECT) == one.quality
    (none,) = thin([row(0, (None, None, None), offline)], SOURCES, LAYOUTS)
    assert (None,) * 9 == none.values
    assert dict.fromkeys(range(9), Quality.OFFLINE) == none.quality


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=50))
def test_the_mean_is_exact_to_its_last_decimal(values):
    """
    Against decimal arithmetic: the mean of integers is rounded half to even at one decimal more, never by way of a float.
    """
    (one,) = thin([row(1000 * i, (value, 0, 0)) for i, value in enumerate(values)], SOURCES, LAYOUTS)
    expected = (Decimal(sum(values)) * 10 / len(values)).quantize(Decimal(1), rounding=ROUND_HALF_EVEN)
    assert (min(values), int(expected), max(values), values[-1]) == one.values[:4]


def test_a_step_ends_with_a_quarter_where_it_can():
    """
    Of blocks over three quarters the unfinished last one is left for the next step; within a single quarter all are taken.
    """
    third = QUARTER_MS // 3
    headers = [Header(number, 1, number, number, 10_000, WALL_MS - WALL_MS % QUARTER_MS + number * third) for number in range(8)]
    assert [0, 1, 2, 3, 4, 5] == [header.number for header in _whole_quarters(headers)]
    assert [0, 1] == [header.number for header in _whole_quarters(headers[:2])]
    assert 20 == sum(header.values for header in _whole_quarters([headers[0]._replace(values=20)]))


@pytest.mark.parametrize(("trusted_ms", "left"), [(WALL_MS + 29 * 86_400_000, 30), (WALL_MS + 31 * 86_400_000, 0)])
def test_what_is_confirmed_goes_when_it_is_old_enough(tmp_path, trusted_ms, left):
    """
    Confirmed readings go after their days, confirmed events stay for theirs, and what is not confirmed never goes by age.
    """
    ages = Ages(30, 1096, 1096)
    with running(tmp_path, [METER]) as rig:
        rig.buffer.accept([reading(METER, number) for number in range(30)], [event()])
        rig.settle()
        outgoing = rig.buffer._outgoing

        def aged(connection):
            found = next_aged(connection, outgoing, ages, trusted_ms)
            return 0 if found is None else sum(header.values for header in found.headers)

        assert 0 == rig.buffer._intake.ask(aged, lambda: -1).result(10)
        rig.confirm(rig.batches())
        wait_for("receipts", lambda: rig.buffer.status().unsent["cloud"].values == 0)
        assert 4 * (30 - left) == rig.buffer._intake.ask(aged, lambda: -1).result(10)
        assert {} == rows_of(rig.batches())


def test_thinned_rows_land_at_the_receiver(tmp_path):
    """
    Telemetry is thinned by the writer: its loss event and its rows come in one transaction, and the receiver reads them by their own schema.
    """
    with running(tmp_path, [METER]) as rig:
        rig.buffer.accept([reading(METER, number, (number, 2 * number, 7, 8)) for number in range(1, 11)])
        rig.settle()
        transactions, outgoing = rig.buffer._writer.transactions, rig.buffer._outgoing

        def thin_now(connection):
            transactions._room.remove(connection, _thin_telemetry(connection, outgoing))
            transactions._synced(0.0)

        rig.buffer._intake.ask(thin_now, lambda: None).result(10)
        assert [] == rig.batches(streams=[Stream.TELEMETRY])
        ((_, loss),) = events_of(rig.batches(streams=[Stream.EVENT]))
        assert {"reason": "thinned", "first": 1, "last": 10, "readings": {"1": 10}}.items() <= loss.body.items()
        (batch,) = rig.batches(streams=[Stream.THINNED])
        sources = decode_schema(rig.ask("schema_document", batch.schema))
        rows = reading_rows("op/st/gw", batch.identity, sources, decode_block(batch.body, batch.identity.first)[1])
        assert ("op/st/gw", f"{rig.buffer.epoch:016x}", 5, 1, "METER-1", "p0.mean", WALL_MS + 10, 0.55, "good", "synchronised") == rows[1]
        assert [0.1, 0.55, 1.0, 1.0] == [row[7] for row in rows[:4]]
        assert (16, 1) == (batch.values, rig.buffer.status().unsent["cloud"].events)
        wait_for("the count", lambda: rig.buffer.status().unsent["cloud"].values == 16)
    with running(tmp_path, [METER]) as rig:
        assert [batch] == rig.batches(streams=[Stream.THINNED])


def test_what_was_read_before_the_clock_was_set_is_as_old_as_what_follows(tmp_path):
    """
    Readings stamped 1970 do not go at once: they wait for those behind them.
    """
    ages = Ages(30, 1096, 1096)
    with running(tmp_path, [METER]) as rig:
        rig.buffer.accept([reading(METER, 1, offset_ms=0, clock=ClockTrust.UNSET)])
        rig.settle()
        rig.buffer.accept([reading(METER, 2)])
        rig.settle()
        rig.confirm(rig.batches())
        outgoing = rig.buffer._outgoing
        days = {
            day: rig.buffer._intake.ask(lambda c, day=day: next_aged(c, outgoing, ages, WALL_MS + day * 86_400_000), lambda: None).result(10)
            for day in (29, 31)
        }
        assert days[29] is None
        assert [1, 2] == [header.first for header in days[31].headers]
