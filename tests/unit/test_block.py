"""Columns to bytes and back: what goes in comes out, and nothing else is taken for a block."""

from __future__ import annotations

import zlib

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegw.block import (
    INFLATED_BYTES_MAX,
    VALUES_MAX,
    BlockError,
    Row,
    decode_block,
    decode_events,
    decode_schema,
    encode_block,
    encode_events,
    encode_schema,
    pack,
    schema_hash,
    unpack,
)
from edgegw.model import ClockTrust, Event, Point, Quality, Reading, Source

WALL_MS = 1_795_219_200_000
SCHEMA = bytes(range(8))
METER = Source(
    source_id=3,
    device="M-1",
    group="electrical",
    period_ms=1000,
    points=(Point("phase_voltage.a", 1, "V", "measure"), Point("current.a", 2, "A", "measure"), Point("state", 0, "1", "state")),
    device_class="meter",
)
SENSOR = Source(source_id=7, device="T-1", group="air", period_ms=5000, points=(Point("temperature", 1, "C", "measure"),), device_class="sensor")


def reading(source, mono_ms, values, quality=None, clock=ClockTrust.SYNCHRONISED):
    return Reading(source, WALL_MS + mono_ms, mono_ms, clock, values, quality or {})


def rows_of(readings, first_seq=1):
    return [Row(first_seq + rank, r.source.source_id, r.mono_ms, r.read_at_ms, r.clock, tuple(r.values), dict(r.quality)) for rank, r in enumerate(readings)]


def in_order(readings):
    return sorted(readings, key=lambda r: (r.mono_ms, r.source.source_id))


values_of_a_point = st.one_of(
    st.integers(-(2**63), 2**63), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8), st.binary(max_size=8), st.booleans()
)


@st.composite
def readings_of_a_block(draw):
    readings = []
    for source in (METER, SENSOR):
        times = draw(st.lists(st.integers(0, 10_000_000), unique=True, max_size=12))
        for mono_ms in times:
            quality = draw(st.dictionaries(st.integers(0, len(source.points) - 1), st.sampled_from(Quality).filter(lambda q: q), max_size=3))
            values = tuple(draw(values_of_a_point) if quality.get(i, Quality.GOOD).has_value else None for i in range(len(source.points)))
            readings.append(reading(source, mono_ms, values, quality))
    return in_order(readings)


@settings(max_examples=150, deadline=None)
@given(readings_of_a_block().filter(bool))
def test_whatever_goes_into_a_block_comes_out_again(readings):
    """
    Times, values, qualities and order of any readings survive the way into a block and back.
    """
    schema, rows = decode_block(encode_block(SCHEMA, readings), 41)
    assert SCHEMA == schema
    assert rows_of(readings, 41) == rows


def test_an_integer_is_never_confused_with_a_flag_or_a_float():
    """
    A column of mixed types keeps each entry's type.
    """
    readings = [reading(SENSOR, 1000 * i, (value,)) for i, value in enumerate([1, True, 1.0, "1", b"1"])]
    _, rows = decode_block(encode_block(SCHEMA, readings), 1)
    assert [int, bool, float, str, bytes] == [type(row.values[0]) for row in rows]


def test_a_failed_poll_is_one_quality_for_the_row():
    """
    A poll without an answer costs one entry, whatever the number of its points.
    """
    offline = dict.fromkeys(range(3), Quality.OFFLINE)
    packed = encode_block(SCHEMA, [reading(METER, 0, (2300, 5, 1)), reading(METER, 1000, (None,) * 3, offline), reading(METER, 2000, (2301, 5, 1))])
    assert [[None, 1, 1, 17]] == cbor2.loads(unpack(packed))[5][0][5]
    assert offline == decode_block(packed, 1)[1][1].quality


def test_a_reading_of_the_reference_station_costs_under_two_bytes_a_value():
    """
    A minute of 20 meters at one poll a second takes less than one byte a value.
    """
    points = tuple(Point(f"string.{i + 1}.current", 2, "A", "measure") for i in range(50))
    sources = [Source(i, f"M-{i}", "electrical", 1000, points, "meter") for i in range(20)]
    rows = [
        reading(source, 1000 * k + source.source_id, tuple((17 * i * (k + source.source_id)) % 10 + 2300 for i in range(50)))
        for k in range(10)
        for source in sources
    ]
    assert 1.0 > len(encode_block(SCHEMA, rows)) / (len(rows) * 50)


def test_the_document_is_the_published_one():
    """
    A block's bytes are laid out as docs/uplink.md says.
    """
    packed = encode_block(SCHEMA, [reading(METER, 500, (2300, 7, 1)), reading(SENSOR, 700, (215,)), reading(METER, 1520, (2301, 7, 2))])
    assert [
        1,
        SCHEMA,
        WALL_MS + 500,
        500,
        1,
        [[3, 0, 1000, [20], [[2300, 1], 7, [1, 1]]], [7, 200, 5000, [], [215]]],
    ] == cbor2.loads(unpack(packed))


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([2, []], "version"),
        ([1, b"short", 0, 0, 1, []], "version"),
        ([1, SCHEMA, 0, 0, 9, []], "damaged"),
        ([1, SCHEMA, 0, 0, 1, [[1, 0]]], "damaged"),
        ([1, SCHEMA, 0, 0, 1, [[1, 0, 1000, [0], [[5]]]]], "1 entries for 2"),
        ([1, SCHEMA, 0, 0, 1, [[1, 0, 1000, [0], [5], [[0, 0, 2, 17]]]]], "outside"),
        ([1, SCHEMA, 0, 0, 1, [[1, 0, 1000, [0], [5], [[0, 0, 0, 99]]]]], "damaged"),
        ([1, SCHEMA, 0, 0, 1, [[1, 0, 1000, [0] * VALUES_MAX, [5]]]], "more than"),
        ([1, SCHEMA, 0, 0, 1, [[1, 0, 1000, [], [True]]]], "neither"),
    ],
)
def test_a_document_that_edgegw_would_not_write_is_refused(document, reason):
    """
    A foreign or damaged document is refused with its reason.
    """
    with pytest.raises(BlockError, match=reason):
        decode_block(pack(cbor2.dumps(document)), 1)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_noise_is_refused_and_nothing_else_happens(noise, packed):
    """
    No bytes make the decoder raise anything but its own error.
    """
    with pytest.raises(BlockError):
        decode_block(pack(noise) if packed else noise, 1)


def test_a_bomb_is_refused_before_it_inflates():
    """
    A few kilobytes that would inflate to megabytes of zeros are refused at the limit.
    """
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"\x01" + bomb.compress(bytes(INFLATED_BYTES_MAX + 1)) + bomb.flush()
    with pytest.raises(BlockError, match="inflates"):
        unpack(packed)


def test_a_deeply_nested_document_is_refused():
    """
    Nesting is bounded before anything walks it.
    """
    nested: list = []
    for _ in range(40):
        nested = [nested]
    with pytest.raises(BlockError, match=r"nested|CBOR"):
        decode_block(pack(cbor2.dumps(nested)), 1)


def test_a_schema_is_named_by_its_content():
    """
    Equal sources give one document and one name in any order; another decimal gives another.
    """
    document = encode_schema([METER, SENSOR])
    assert document == encode_schema([SENSOR, METER])
    assert 8 == len(schema_hash(document))
    assert ("M-1", "meter", 1000, "phase_voltage.a", 1, "V") == (
        (source := decode_schema(document)[3]).device,
        source.device_class,
        source.period_ms,
        source.points[0].name,
        source.points[0].decimals,
        source.points[0].unit,
    )


def test_events_survive_the_way():
    """
    Events come out in order with their own times and bodies.
    """
    events = [
        Event("started", WALL_MS, 0, ClockTrust.HELD, None, {"epoch": "00ff", "wall": 1.5}),
        Event("alarm", WALL_MS + 5, 5, ClockTrust.SYNCHRONISED, "DI-01", {"edge": "raised", "text": "市电中断"}),
    ]
    assert events == decode_events(encode_events(events))
